"""No audit row, no act; and every act's row can be read back, with its time and its zone (business 6)."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.rehearsal import Gate, Text, ToolUse, Turn
from voyagent.actors.domain.audit import wire_time
from voyagent.storage.audit_chain import Verify

from .events import kinds
from .test_approvals import ask_for_booking, resolve

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.service.conftest import Admin, Person, Running

BROKEN = """
CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no audit today'; END $$;
CREATE TRIGGER no_audit BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION no_audit();
"""
MENDED = "DROP FUNCTION no_audit CASCADE"
UNDONE = """
SELECT (SELECT count(*) FROM passengers), (SELECT count(*) FROM bookings), (SELECT count(*) FROM house_orders),
       (SELECT count(*) FROM audit_events), (SELECT count(*) FROM pending_approvals WHERE status <> 'pending'),
       (SELECT string_agg(title, ',' ORDER BY id) FROM sessions), (SELECT max(seq) FROM audit_heads)
"""
SAVE = ToolUse("upsert_passenger", {"full_name": "Bela Rao", "date_of_birth": "1991-01-02"})
ZONELESS = """
SELECT table_name || '.' || column_name FROM information_schema.columns
 WHERE table_schema = 'public' AND data_type IN ('timestamp without time zone', 'time without time zone')
"""


async def done(admin: Admin) -> tuple[Any, ...]:
    """All that an act would have changed."""
    return tuple(await admin.db.fetchrow(UNDONE))


async def test_b40_without_an_audit_row_nothing_is_decided_renamed_deleted_or_set(
    asha: Person, running: Running, admin: Admin
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    approval = events[-2].data["approval_id"]
    before = await done(admin)
    await admin.execute(BROKEN)
    acts: list[tuple[str, str, Any]] = [
        ("PATCH", f"/chat/sessions/{session}", {"title": "other"}),
        ("DELETE", f"/chat/sessions/{session}", None),
        ("PATCH", "/tenant-settings", {"locale": "hi"}),
        ("POST", f"/approvals/{approval}/resolve", {"granted": True}),
    ]
    for method, path, body in acts:
        status, answer = await asha.call(method, path, json=body)
        assert status in {500, 503}, (method, path, answer)
        assert "audit" not in str(answer)
        assert await done(admin) == before
    await admin.execute(MENDED)
    assert (await asha.get(f"/approvals/{approval}"))["status"] == "pending"
    assert (await resolve(asha, approval))[0] == 200
    rest = await asha.replay(session, events[-1].id)
    assert kinds(rest)[-1] == "final"
    assert await admin.value("SELECT count(*) FROM bookings") == 1


async def test_b40_a_tool_whose_audit_row_cannot_be_written_has_no_effect(
    asha: Person, running: Running, admin: Admin
) -> None:
    gate = Gate()
    desk = Turn(ToolUse("handoff", {"domain": "ticketing_visa", "goal": "save"}))
    running.rehearsal.play(desk, Turn(Text.split("I ", "save."), SAVE, gate=gate), Turn("Done."))
    session = await asha.session()
    stream = await asha.post(session, {"message": "save"})
    await gate.waiting(1)
    before = await done(admin)
    await admin.execute(BROKEN)
    await gate.open()
    told = await stream.all()
    assert kinds(told)[-2:] == ["error", "final"]
    assert told[-2].data["error_message"].startswith("internal_error: ")
    assert await done(admin) == before
    await admin.execute(MENDED)


async def test_b40_a_granted_call_that_cannot_be_audited_neither_runs_nor_is_dropped(
    asha: Person, running: Running, admin: Admin
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Done."),))
    await admin.execute(BROKEN.replace("FOR EACH ROW", "FOR EACH ROW WHEN (NEW.kind = 'book_flight')"))
    before = await done(admin)
    stream = await asha.watch(session, f"?last_event_id={events[-1].id}")
    assert (await resolve(asha, events[-2].data["approval_id"]))[0] == 200
    told = await stream.all()
    assert [(event.id, event.kind) for event in told] == [(None, "error")]
    assert told[0].data["error_message"].startswith("internal_error: ")
    assert (await done(admin))[:3] == before[:3]
    await admin.execute(MENDED)
    rest = await asha.replay(session, events[-1].id)
    assert (kinds(rest)[:2], kinds(rest)[-1]) == (["approval_granted", "tool_result"], "final")
    assert await admin.value("SELECT count(*) FROM bookings") == 1


async def test_b40_what_a_conversation_wrote_verifies_and_a_changed_missing_or_cut_row_does_not(
    asha: Person, running: Running, admin: Admin
) -> None:
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    await resolve(asha, events[-2].data["approval_id"])
    await asha.replay(session, events[-1].id)
    verify = Verify(tenant_id=asha.user["tenant_id"])
    storage = running.service.system.storage
    newest = await admin.value("SELECT max(seq) FROM audit_events")
    found = await storage.ask(verify)
    assert (found.ok, found.checked) == (True, newest)
    await admin.execute("SET session_replication_role = replica")
    for forgery, broken_at in (
        ("UPDATE audit_events SET approved_by = NULL WHERE kind = 'book_flight' AND status = 'succeeded'", newest),
        (f"DELETE FROM audit_events WHERE seq = {newest}", newest),
        ("DELETE FROM audit_events WHERE seq = 2", 2),
    ):
        await admin.execute(forgery)
        assert (await storage.ask(verify)).broken_at == broken_at, forgery


@pytest.fixture
async def tokyo(database: Database) -> None:
    """A database whose administrator has set it to another zone, before the service connects."""
    db = await asyncpg.connect(database.admin_url)
    await db.execute(f"ALTER DATABASE {database.name} SET timezone = 'Asia/Tokyo'")
    await db.close()


async def test_b2_every_time_column_carries_a_zone_and_every_time_on_the_wire_is_utc(
    tokyo: None, asha: Person, running: Running, admin: Admin
) -> None:
    assert await admin.value("SHOW timezone") == "Asia/Tokyo"
    assert [row[0] for row in await admin.db.fetch(ZONELESS)] == []
    began = wire_time(datetime.now(UTC))
    session, events = await ask_for_booking(asha, running, then=(Turn("Booked."),))
    approval = events[-2].data["approval_id"]
    status, item = await resolve(asha, approval)
    assert status == 200
    await asyncio.gather(*(asha.replay(session, events[-1].id) for _ in range(2)))
    summary = await asha.get(f"/chat/sessions/{session}")
    transcript = await asha.get(f"/chat/sessions/{session}/messages")
    booked = (await asha.get("/audit?kind=book_flight"))["items"]
    exported = await asha.call("GET", "/audit/export.csv?kind=book_flight")
    times = [item["requested_at"], item["resolved_at"], summary["created_at"]]
    times += [message["created_at"] for message in transcript["items"]]
    times += [event.data["timestamp"] for event in events]
    times += [each["created_at"] for each in booked]
    now = wire_time(datetime.now(UTC))
    for each in times:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", each), each
        assert began <= each <= now, "of UTC's clock, and not of another that is called so"
    assert item["requested_at"] < item["resolved_at"] < item["expires_at"]
    assert [line.partition(",")[0] for line in exported[1].splitlines()[1:]] == [each["created_at"] for each in booked]
    stored = await admin.value("SELECT bool_and(completed_at >= created_at - interval '1 minute') FROM audit_events")
    assert stored


async def test_b2_a_day_is_utcs_whatever_zone_the_database_has(tokyo: None, asha: Person, admin: Admin) -> None:
    assert (await asha.call("POST", "/enquiries", json={"customer_name": "Asha Rao"}))[0] == 201
    await admin.execute("UPDATE enquiries SET created_at = '2026-11-23T20:00Z'")
    for day, found in (("2026-11-22", 0), ("2026-11-23", 1), ("2026-11-24", 0)):
        assert (await asha.get(f"/enquiries?created_from={day}&created_to={day}"))["total"] == found, day
