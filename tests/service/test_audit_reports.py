"""Listing, exporting and verifying the audit trail over HTTP (business 6.3 to 6.5)."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from voyagent.actors.domain.audit import AuditEvent
from voyagent.actors.domain.identity import Role
from voyagent.actors.leased_store import leased_for
from voyagent.actors.signed_heads import HeadSigner
from voyagent.http import audit_export
from voyagent.storage import audit, audit_lists
from voyagent.storage.engine.operations import Command

from .enquiries import create

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running
    from voyagent.storage.engine.connection import Connection

Join = Callable[["Person", str], Awaitable["Person"]]
EVENT = [
    "id",
    "tenant_id",
    "actor_kind",
    "actor_id",
    "actor_email",
    "kind",
    "summary",
    "payload",
    "status",
    "created_at",
    "seq",
    "hash",
]
COLUMNS = ["created_at", "kind", "actor_kind", "actor_id", "actor_email", "status", "summary", "payload_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Command[None]):
    """Add events to an agency's chain."""

    events: list[AuditEvent]

    async def run(self, db: Connection) -> None:
        await audit.append(db, self.events)


async def record(running: Running, who: Person, *events: dict[str, Any]) -> None:
    tenant_id = who.user["tenant_id"]
    given = {"kind": "note.made", "status": "succeeded", "actor_kind": "system", "created_at": NOON}
    made = [AuditEvent(**{"id": str(uuid.uuid4()), "tenant_id": tenant_id, **given, **event}) for event in events]
    system = running.service.system
    await leased_for(system.storage, system.ownership, tenant_id).ask(Record(tenant_id=tenant_id, events=made))


NOON = datetime.fromisoformat("2020-02-02T12:00:00Z")


async def kinds(who: Person, **query: Any) -> list[str]:
    found = await who.get("/audit", params=query)
    assert found["total"] == len(found["items"])
    return [item["kind"] for item in reversed(found["items"])]


async def download(who: Person, query: str = "") -> tuple[Any, bytes]:
    url = f"{who.url}/audit/export.csv{query}"
    async with who.http.get(url, headers=who.headers) as response:
        body = await response.read()
        assert response.status == 200, body
        return response.headers, body


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8"), newline="")))


async def test_an_event_has_twelve_keys_and_the_newest_is_first(asha: Person) -> None:
    await create(asha, customer_name="Ravi")
    found = await asha.get("/audit")
    newest = found["items"][0]
    assert list(newest) == EVENT
    assert (found["limit"], found["offset"], found["total"]) == (50, 0, newest["seq"])
    assert [item["seq"] for item in found["items"]] == list(range(newest["seq"], 0, -1))
    assert (newest["kind"], newest["status"], newest["actor_kind"]) == ("enquiry.created", "ok", "user")
    assert (newest["actor_id"], newest["actor_email"]) == (asha.user["id"], asha.user["email"])
    assert newest["summary"] == "enquiry.created (succeeded)"
    assert set(newest["payload"]) == {"inputs", "outputs", "entity_refs"}


async def test_pages_follow_each_other_and_the_total_stays(asha: Person, running: Running) -> None:
    await record(running, asha, *({"kind": f"n.{number}"} for number in range(7)))
    whole = (await asha.get("/audit"))["items"]
    pieces = [await asha.get("/audit", params={"limit": 3, "offset": at}) for at in range(0, len(whole) + 3, 3)]
    assert [item for piece in pieces for item in piece["items"]] == whole
    assert {piece["total"] for piece in pieces} == {len(whole)}


@pytest.mark.parametrize("path", ["/audit", "/audit/export.csv", "/audit/verify"])
async def test_only_an_admin_reads_the_audit_trail(path: str, asha: Person, member: Join) -> None:
    for role in set(Role) - {Role.AGENCY_ADMIN}:
        one = await member(asha, role)
        assert await one.call("GET", path) == (403, {"detail": "forbidden_role"}), role


BAD = [
    ("limit=0", "greater_than_equal"),
    ("limit=201", "less_than_equal"),
    ("offset=-1", "greater_than_equal"),
    ("from=2026-2-1", "date_from_datetime_parsing"),
    ("to=yesterday", "date_from_datetime_parsing"),
    ("tz=local", "literal_error"),
]


async def test_a_query_of_the_wrong_shape_is_422(asha: Person) -> None:
    for query, kind in BAD:
        status, body = await asha.call("GET", f"/audit?{query}")
        assert (status, body["detail"][0]["type"]) == (422, kind), query
    for path in ("/audit", "/audit/export.csv"):
        refused = (422, {"detail": "invalid_actor_id"})
        assert await asha.call("GET", f"{path}?actor_id=nobody") == refused
    for query in ("from_seq=0", "limit=0", "limit=100001", f"from_seq={2**63}"):
        assert (await asha.call("GET", f"/audit/verify?{query}"))[0] == 422, query


async def test_b32_filters_are_exact_and_all_have_to_match(asha: Person, running: Running) -> None:
    other = str(uuid.uuid4())
    await record(running, asha, {"kind": "a.b"}, {"kind": "a_b", "actor_id": other}, {"kind": "a%"}, {"kind": "A.b"})
    assert await kinds(asha, kind="a.b") == ["a.b"]
    assert await kinds(asha, kind="a_b") == ["a_b"]
    assert await kinds(asha, kind="%") == await kinds(asha, kind="a\\") == []
    assert await kinds(asha, kind=" a.b , ,a%,") == ["a.b", "a%"]
    assert [item["kind"] for item in (await asha.get("/audit?kind=a_b&kind=A.b"))["items"]] == ["A.b", "a_b"]
    assert await kinds(asha, actor_id=other.upper()) == ["a_b"]
    assert await kinds(asha, actor_id=other, kind="a.b") == []
    assert await kinds(asha, actor_id=str(uuid.uuid4())) == []
    assert await kinds(asha, kind=" , ") == await kinds(asha)


EDGES = ("2020-02-01T23:59:59.999999Z", "2020-02-02T00:00:00Z", "2020-02-02T23:59:59.999999Z", "2020-02-03T00:00:00Z")


async def test_t19_days_are_utcs_and_whole_or_with_tz_the_agencys(asha: Person, running: Running) -> None:
    times = map(datetime.fromisoformat, EDGES)
    await record(running, asha, *({"kind": str(at), "created_at": time} for at, time in enumerate(times)))
    day = {"from": "2020-02-02", "to": "2020-02-02"}
    assert await kinds(asha, **day) == ["1", "2"]
    assert await kinds(asha, to="2020-02-01") == ["0"]
    assert (await kinds(asha, **{"from": "2020-02-03", "to": "2020-02-03"})) == ["3"]
    assert await kinds(asha, **{"from": "2020-02-03", "to": "2020-02-02"}) == []
    assert await kinds(asha, **{"from": "0001-01-01", "to": "2020-02-03"}) == ["0", "1", "2", "3"]
    assert await kinds(asha, **{"from": "9999-12-31", "to": "9999-12-31"}) == []
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"timezone": "Asia/Kolkata"})
    assert status == 200
    assert await kinds(asha, **day) == ["1", "2"]
    assert await kinds(asha, **day, tz="agency") == ["0", "1"]
    assert [row["kind"] for row in rows((await download(asha, "?from=2020-02-02&to=2020-02-02&tz=agency"))[1])] == [
        "1",
        "0",
    ]


async def test_b61_nobody_reads_or_exports_another_agencys_events(asha: Person, running: Running) -> None:
    other = await running.sign_up("other")
    await record(running, other, {"kind": "secret.kept", "actor_id": other.user["id"]})
    assert await kinds(asha, kind="secret.kept") == await kinds(asha, actor_id=other.user["id"]) == []
    assert b"secret" not in (await download(asha, "?kind=secret.kept"))[1]
    assert (await asha.get("/audit/verify"))["head_seq"] == (await asha.get("/audit"))["total"]


async def test_b30_an_export_has_the_rows_of_the_list_and_is_audited_itself(asha: Person, running: Running) -> None:
    await record(running, asha, {"kind": "a.b", "inputs": {"name": "Zoë"}}, {"kind": "c.d"})
    listed = (await asha.get("/audit", params={"kind": "a.b,c.d"}))["items"]
    headers, body = await download(asha, "?kind=a.b,c.d&from=2020-02-02")
    day = running.service.system.clock.now().date().isoformat()
    tenant_id = asha.user["tenant_id"]
    assert headers["Content-Type"] == "text/csv; charset=utf-8"
    assert headers["Content-Disposition"] == f'attachment; filename="voyagent-audit-{tenant_id[:8]}-{day}.csv"'
    assert headers["Transfer-Encoding"] == "chunked"
    assert body.startswith(",".join(COLUMNS).encode() + b"\r\n")
    for item, row in zip(listed, rows(body), strict=True):
        assert json.loads(row.pop("payload_json")) == item["payload"]
        assert row == {name: item[name] or "" for name in COLUMNS[:-1]}
    (event,) = (await asha.get("/audit", params={"kind": "audit.exported"}))["items"]
    inputs = event["payload"]["inputs"]
    assert (event["actor_kind"], event["actor_id"], event["status"]) == ("user", asha.user["id"], "ok")
    assert (inputs["filters"], inputs["rows"]) == ({"kind": ["a.b", "c.d"], "from": "2020-02-02"}, 2)


async def test_t18_the_first_header_is_exact_and_bom_adds_three_bytes(asha: Person, running: Running) -> None:
    names = ["Zoë Müller", "محمد", "प्रिया", "🛫", 'a "b"\r\nc']
    await record(running, asha, *({"kind": "t18", "error": name, "status": "failed"} for name in names))
    plain = (await download(asha, "?kind=t18"))[1]
    assert plain.startswith(b"created_at,")
    assert (await download(asha, "?kind=t18&bom=1"))[1] == b"\xef\xbb\xbf" + plain
    assert (await download(asha, "?kind=t18&bom=0"))[1] == plain
    assert [row["summary"] for row in reversed(rows(plain))] == [f"t18: {name}" for name in names]
    assert (await asha.call("GET", "/audit/export.csv?bom=2"))[0] == 422


async def test_b36_t17_no_cell_of_an_export_starts_a_formula(asha: Person, running: Running, admin: Admin) -> None:
    await admin.execute("UPDATE users SET email = '=cmd@example.com'")
    kind = "=cmd|'/C calc'!A0"
    await record(running, asha, {"kind": kind, "actor_id": asha.user["id"]})
    (row,) = rows((await download(asha, "?from=2020-02-02&to=2020-02-02"))[1])
    assert (row["kind"], row["actor_email"]) == (f"'{kind}", "'=cmd@example.com")
    assert row["summary"].startswith("'=cmd")


async def test_b37_the_cap_is_decided_before_the_first_byte_and_nothing_is_audited(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_lists, "EXPORT_LIMIT", 4)
    audit_lists.extent.cache_clear()
    try:
        await record(running, asha, *[{"kind": "n"}] * 4)
        assert len(rows((await download(asha, "?kind=n"))[1])) == 4
        await record(running, asha, {"kind": "n"})
        before = await kinds(asha)
        assert await asha.call("GET", "/audit/export.csv?kind=n") == (400, {"detail": "export_too_large"})
        assert await kinds(asha) == before
    finally:
        audit_lists.extent.cache_clear()


async def test_b37_an_export_is_one_snapshot_whatever_is_written_meanwhile(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "ROWS", 3)
    await record(running, asha, *({"kind": "n", "inputs": {"at": at}} for at in range(20)))
    read = audit_lists.Batch.run

    async def written_meanwhile(self: audit_lists.Batch, db: Connection) -> Any:
        await record(running, asha, {"kind": "n", "inputs": {"at": -1}})
        return await read(self, db)

    monkeypatch.setattr(audit_lists.Batch, "run", written_meanwhile)
    body = (await download(asha, "?kind=n"))[1]
    assert [json.loads(row["payload_json"])["inputs"]["at"] for row in rows(body)] == list(range(19, -1, -1))
    assert len(await kinds(asha, kind="n")) > 20


async def test_b37_a_download_that_fails_midway_is_cut_off_and_not_ended(
    asha: Person, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_export, "ROWS", 3)
    await record(running, asha, *[{"kind": "n"}] * 9)
    read = audit_lists.Batch.run

    async def broken(self: audit_lists.Batch, db: Connection) -> Any:
        if self.before <= self.of.last:
            raise RuntimeError("broken")
        return await read(self, db)

    monkeypatch.setattr(audit_lists.Batch, "run", broken)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        await download(asha, "?kind=n")


async def test_a_head_request_exports_nothing(asha: Person) -> None:
    async with asha.http.head(f"{asha.url}/audit/export.csv", headers=asha.headers) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert await kinds(asha, kind="audit.exported") == []


async def test_b40_without_an_audit_row_there_is_no_export(asha: Person, admin: Admin) -> None:
    await admin.execute(
        "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'none'; END $$;"
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION no_audit()"
    )
    status, body = await asha.call("GET", "/audit/export.csv")
    assert (status, body["detail"]) == (500, "internal_error")


def unsigned(found: dict[str, Any]) -> dict[str, Any]:
    """A verification without what it says of the signed head."""
    return {name: value for name, value in found.items() if not name.startswith("signed_")}


async def test_b40_verify_walks_the_chain_within_its_limit(asha: Person, running: Running) -> None:
    await record(running, asha, *[{"kind": "n"}] * 9)
    total = (await asha.get("/audit"))["total"]
    head = (await asha.get("/audit"))["items"][0]["hash"]
    whole = {"ok": True, "from_seq": 1, "last_seq": total, "checked": total, "head_seq": total, "head_hash": head}
    assert unsigned(await asha.get("/audit/verify")) == {**whole, "broken": None}
    part = unsigned(await asha.get("/audit/verify", params={"from_seq": 3, "limit": 2}))
    assert part == {**whole, "from_seq": 3, "last_seq": 4, "checked": 2, "broken": None}
    rest = await asha.get("/audit/verify", params={"from_seq": total + 1})
    assert (rest["ok"], rest["checked"], rest["last_seq"]) == (True, 0, total)
    beyond = await asha.get("/audit/verify", params={"from_seq": total + 5})
    assert (beyond["ok"], beyond["checked"]) == (True, 0)


async def test_b40_verify_names_the_first_row_that_is_wrong_and_why(
    asha: Person, running: Running, admin: Admin
) -> None:
    await record(running, asha, *[{"kind": "n"}] * 9)
    items = (await asha.get("/audit"))["items"]
    total, ids = items[0]["seq"], {item["seq"]: item["id"] for item in items}
    await admin.execute("SET session_replication_role = replica")

    async def broken(**query: int) -> Any:
        found = await asha.get("/audit/verify", params=query)
        assert found["ok"] is (found["broken"] is None)
        return found["broken"]

    await admin.execute("DELETE FROM audit_events WHERE seq = $1", total)
    assert await broken() == {"seq": total, "id": None, "why": "gap"}
    await admin.execute("UPDATE audit_events SET prev_hash = repeat('a', 64) WHERE seq = 6")
    assert await broken() == {"seq": 6, "id": ids[6], "why": "prev_hash"}
    assert await broken(limit=5) is None
    assert await broken(from_seq=7, limit=1) is None
    await admin.execute("UPDATE audit_events SET inputs = '{}' WHERE seq = 5")
    assert await broken() is not None
    await admin.execute("UPDATE audit_events SET created_at = created_at + interval '1 second' WHERE seq = 4")
    assert await broken() == {"seq": 4, "id": ids[4], "why": "hash"}
    await admin.execute("DELETE FROM audit_events WHERE seq = 2")
    assert await broken() == {"seq": 2, "id": None, "why": "gap"}
    assert await broken(from_seq=3) == {"seq": 2, "id": None, "why": "gap"}


async def test_events_of_the_same_moment_are_not_lost_between_pages(asha: Person, running: Running) -> None:
    at = NOON + timedelta(days=1)
    await record(running, asha, *[{"kind": "n", "created_at": at}] * 5)
    found = [await asha.get("/audit", params={"kind": "n", "limit": 2, "offset": offset}) for offset in (0, 2, 4)]
    assert len({item["seq"] for page in found for item in page["items"]}) == 5


async def test_b40_verify_compares_the_chain_with_its_signed_head(asha: Person, running: Running, admin: Admin) -> None:
    await record(running, asha, *[{"kind": "n"}] * 5)
    system, tenant_id = running.service.system, asha.user["tenant_id"]
    await HeadSigner(store=system.storage, settings=running.settings, clock=system.clock).sign(10)
    found = await asha.get("/audit/verify")
    newest = found["head_seq"]
    assert (found["ok"], found["signed_head"], found["signed_seq"]) == (True, "compared", newest)
    part = await asha.get("/audit/verify", params={"limit": 2})
    assert (part["ok"], part["signed_head"]) == (True, "not_reached")

    await admin.execute("SET session_replication_role = replica")
    await admin.execute("DELETE FROM audit_events WHERE tenant_id = $1 AND seq = $2", tenant_id, newest)
    await admin.execute(
        "UPDATE audit_heads h SET seq = e.seq, hash = e.hash FROM audit_events e "
        "WHERE h.tenant_id = $1 AND e.tenant_id = $1 AND e.seq = $2",
        tenant_id,
        newest - 1,
    )
    cut = await asha.get("/audit/verify")
    assert (cut["ok"], cut["signed_head"]) == (False, "compared")
    assert cut["broken"] == {"seq": newest, "id": None, "why": "gap"}

    path = running.settings.data_dir / "audit" / "heads.jsonl"
    path.write_text(path.read_text().replace('"seq":', '"seq":1'))
    forged = await asha.get("/audit/verify")
    assert (forged["ok"], forged["signed_head"], forged["broken"]) == (False, "unreadable", None)
    path.unlink()
    assert (await asha.get("/audit/verify"))["signed_head"] == "none"
