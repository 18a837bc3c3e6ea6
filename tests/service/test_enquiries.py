"""Enquiries over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .enquiries import FULL, create, patch, promote

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
UNKNOWN = "019712ab-3c4d-7e5f-8a9b-0c1d2e3f4a5b"
KEYS = [
    "id",
    "tenant_id",
    "created_by_user_id",
    "customer_name",
    "customer_email",
    "customer_phone",
    "origin",
    "destination",
    "depart_date",
    "return_date",
    "pax_count",
    "budget_amount",
    "budget_currency",
    "status",
    "notes",
    "session_id",
    "created_at",
    "updated_at",
]


async def read(who: Person, enquiry: dict[str, Any]) -> dict[str, Any]:
    """An enquiry as it is shown, without its bookings."""
    body = await who.get(f"/enquiries/{enquiry['id']}")
    return {name: value for name, value in body.items() if name != "bookings"}


async def events(admin: Admin, kind: str) -> list[dict[str, Any]]:
    query = "SELECT inputs::text, entity_refs::text FROM audit_events WHERE kind = $1 ORDER BY seq"
    rows = await admin.db.fetch(query, kind)
    return [{**json.loads(row[0]), "refs": json.loads(row[1])} for row in rows]


async def test_an_enquiry_has_eighteen_keys_and_is_read_as_it_was_created(asha: Person) -> None:
    made = await create(asha, **FULL)
    assert list(made) == KEYS
    assert {name: made[name] for name in FULL} == FULL
    assert (made["tenant_id"], made["created_by_user_id"]) == (asha.user["tenant_id"], asha.user["id"])
    assert made["created_at"] == made["updated_at"]
    assert await read(asha, made | {"id": made["id"].upper()}) == made
    bare = await create(asha, customer_name="  Ravi  ", customer_email=" ", customer_phone="", origin="\t", notes="")
    empty = dict.fromkeys(KEYS[4:10])
    assert {name: bare[name] for name in empty} == empty
    assert [bare[name] for name in ("customer_name", "pax_count", "status", "notes", "session_id")] == [
        "Ravi",
        1,
        "new",
        "",
        None,
    ]


BUDGETS = {"1.005": "1.01", "2.5": "2.50", "-0": "0.00", "0.004": "0.00", "999999999999.99": "999999999999.99"}


async def test_a_budget_is_read_exactly_and_rounded_to_two_decimals(asha: Person) -> None:
    for given, stored in BUDGETS.items():
        for written in (given, f'"{given}"'):
            raw = f'{{"customer_name":"A","budget_amount":{written}}}'
            headers = {"Content-Type": "application/json"}
            status, body = await asha.call("POST", "/enquiries", data=raw, headers=headers)
            assert (status, body["budget_amount"]) == (201, stored), written


SHAPES: list[tuple[dict[str, Any], str, str]] = [
    ({"customer_name": "   "}, "customer_name", "string_too_short"),
    ({"customer_name": "x" * 256}, "customer_name", "string_too_long"),
    ({"customer_name": 1}, "customer_name", "string_type"),
    ({"customer_email": "nobody"}, "customer_email", "value_error"),
    ({"customer_email": "a" * 250 + "@b.com"}, "customer_email", "string_too_long"),
    ({"customer_phone": "1" * 65}, "customer_phone", "string_too_long"),
    ({"origin": "x" * 129}, "origin", "string_too_long"),
    ({"destination": "x" * 129}, "destination", "string_too_long"),
    ({"depart_date": "12/12/2026"}, "depart_date", "date_from_datetime_parsing"),
    ({"return_date": "2026-02-30"}, "return_date", "date_from_datetime_parsing"),
    ({"pax_count": 2**31}, "pax_count", "less_than_equal"),
    ({"pax_count": "2"}, "pax_count", "int_type"),
    ({"pax_count": True}, "pax_count", "int_type"),
    ({"budget_amount": -1}, "budget_amount", "greater_than_equal"),
    ({"budget_amount": "1000000000000"}, "budget_amount", "less_than_equal"),
    ({"budget_amount": "NaN"}, "budget_amount", "finite_number"),
    ({"budget_amount": "Inf"}, "budget_amount", "finite_number"),
    ({"budget_amount": "1e3"}, "budget_amount", "decimal_parsing"),
    ({"budget_amount": True}, "budget_amount", "decimal_type"),
    ({"status": "won"}, "status", "literal_error"),
    ({"notes": "x" * 10_001}, "notes", "string_too_long"),
    ({"notes": "a\x00b"}, "notes", "value_error"),
    ({"session_id": 1}, "session_id", "string_type"),
    ({"id": UNKNOWN}, "id", "extra_forbidden"),
    ({"created_by_user_id": UNKNOWN}, "created_by_user_id", "extra_forbidden"),
]


async def test_b33_a_field_of_the_wrong_shape_is_422_on_create_and_change(asha: Person) -> None:
    made = await create(asha)
    for fields, name, kind in SHAPES:
        for status, body in (
            await asha.call("POST", "/enquiries", json={"customer_name": "A", **fields}),
            await patch(asha, made, **fields),
        ):
            assert status == 422, fields
            assert [(item["type"], item["loc"]) for item in body["detail"]] == [(kind, ["body", name])]
            assert "input" not in body["detail"][0]
    assert await asha.get("/enquiries") == {"items": [made], "total": 1, "limit": 50, "offset": 0}


RULES: list[tuple[dict[str, Any], int, str]] = [
    ({"budget_currency": "inr", "return_date": "2026-01-01", "pax_count": 0}, 400, "invalid_currency"),
    ({"budget_currency": ""}, 400, "invalid_currency"),
    ({"budget_currency": "INRX"}, 400, "invalid_currency"),
    ({"budget_currency": "\u0391BC"}, 400, "invalid_currency"),
    ({"depart_date": "2026-12-12", "return_date": "2026-12-11", "pax_count": 0}, 400, "invalid_date_range"),
    ({"pax_count": 0, "session_id": "nonsense"}, 400, "invalid_pax_count"),
    ({"pax_count": -(10**400)}, 400, "invalid_pax_count"),
    ({"session_id": "nonsense"}, 422, "invalid_session_id"),
    ({"session_id": UNKNOWN}, 422, "session_not_found"),
]


async def test_b33_rules_refuse_in_the_contracts_order(asha: Person) -> None:
    made = await create(asha)
    for fields, status, code in RULES:
        refused = (status, {"detail": code})
        assert await asha.call("POST", "/enquiries", json={"customer_name": "A", **fields}) == refused
        assert await patch(asha, made, **fields) == refused
    assert await asha.get("/enquiries") == {"items": [made], "total": 1, "limit": 50, "offset": 0}


async def test_b33_b61_a_linked_session_exists_and_is_the_agencys_own(asha: Person, running: Running) -> None:
    other = await running.sign_up("other")
    foreign, own = await other.session(), await asha.session()
    refused = (422, {"detail": "session_not_found"})
    made = await create(asha, session_id=own.upper())
    assert made["session_id"] == own
    assert await asha.call("POST", "/enquiries", json={"customer_name": "A", "session_id": foreign}) == refused
    assert await patch(asha, made, session_id=foreign) == refused
    assert (await patch(asha, made, session_id=None))[1]["session_id"] is None


async def test_nulls_are_refused_one_by_one_in_the_contracts_order(asha: Person) -> None:
    booked = await create(asha, status="booked")
    both = {"customer_name": None, "pax_count": None, "session_id": "nonsense"}
    steps = [
        ({"status": None, **both}, 422, "status_cannot_be_null"),
        ({"status": "new", **both}, 400, "invalid_status_transition"),
        (both, 422, "customer_name_cannot_be_null"),
        ({"pax_count": None, "session_id": "nonsense"}, 422, "pax_count_cannot_be_null"),
        ({"session_id": "nonsense"}, 422, "invalid_session_id"),
    ]
    for fields, status, code in steps:
        assert await patch(asha, booked, **fields) == (status, {"detail": code})
    status, body = await asha.call("POST", "/enquiries", json={"customer_name": "A", "pax_count": None})
    assert (status, body["detail"][0]["type"]) == (422, "int_type")


async def test_a_change_is_judged_on_the_merged_result(asha: Person) -> None:
    made = await create(asha, depart_date="2026-12-12", return_date="2026-12-19")
    assert await patch(asha, made, depart_date="2026-12-20") == (400, {"detail": "invalid_date_range"})
    status, body = await patch(asha, made, depart_date="2026-12-20", return_date=None)
    assert (status, body["return_date"]) == (200, None)
    assert await patch(asha, {"id": UNKNOWN}, pax_count=0) == (404, {"detail": "enquiry_not_found"})
    assert (await patch(asha, {"id": "x"}, pax_count="0"))[0] == 422
    assert await patch(asha, {"id": "x"}) == (404, {"detail": "enquiry_not_found"})


async def test_terminal_statuses_never_become_new_or_quoted(asha: Person) -> None:
    states = ("new", "quoted", "booked", "cancelled")
    for before in states:
        for after in states:
            made = await create(asha, status=before)
            status, body = await patch(asha, made, status=after)
            if before in {"booked", "cancelled"} and after in {"new", "quoted"}:
                assert (status, body) == (400, {"detail": "invalid_status_transition"})
            else:
                assert (status, body["status"]) == (200, after)


async def test_b34_updated_at_moves_with_a_change_and_only_then(asha: Person, admin: Admin) -> None:
    made = await create(asha, **FULL)
    for same in ({}, {"customer_name": " Asha Rao "}, {"budget_amount": 45000}, {"status": "quoted"}):
        assert await patch(asha, made, **same) == (200, made)
    assert "enquiry.changed" not in await admin.audit_kinds()
    status, changed = await patch(asha, made, notes=None)
    assert (status, changed["notes"]) == (200, None)
    assert datetime.fromisoformat(changed["updated_at"]) > datetime.fromisoformat(made["updated_at"])
    assert changed["created_at"] == made["created_at"]
    assert await read(asha, made) == changed


async def test_b35_of_parallel_changes_none_leaves_a_terminal_status(asha: Person) -> None:
    for _ in range(5):
        made = await create(asha)
        wanted = ["booked", "quoted", "cancelled", "new"] * 4
        answers = await asyncio.gather(*(patch(asha, made, status=status) for status in wanted))
        assert {status for status, _ in answers} <= {200, 400}
        assert (await asha.get(f"/enquiries/{made['id']}"))["status"] in {"booked", "cancelled"}
        order = sorted((body["updated_at"], body["status"]) for status, body in answers if status == 200)
        ended = next(at for at, (_, status) in enumerate(order) if status in {"booked", "cancelled"})
        assert all(status in {"booked", "cancelled"} for _, status in order[ended:])


async def test_b30_events_name_fields_and_states_and_no_personal_data(asha: Person, admin: Admin) -> None:
    made = await create(asha, **FULL)
    await patch(asha, made, customer_phone="0412", status="booked")
    await promote(asha, made)
    (created,), (changed,), (promoted,) = [
        await events(admin, f"enquiry.{act}") for act in ("created", "changed", "promoted")
    ]
    assert (created["fields"], created["status"]) == (list(FULL), {"to": "quoted"})
    assert (changed["fields"], changed["status"]) == (["customer_phone", "status"], {"from": "quoted", "to": "booked"})
    assert promoted["fields"] == ["session_id"]
    assert {each["refs"]["enquiry_id"] for each in (created, changed, promoted)} == {made["id"]}
    assert promoted["refs"]["session_id"] == (await asha.get(f"/enquiries/{made['id']}"))["session_id"]
    recorded = json.dumps([created, changed, promoted])
    for secret in ("Asha", "98200", "0412", "Mumbai", "45000", "window"):
        assert secret not in recorded


async def test_viewers_read_and_never_write_and_another_agency_sees_nothing(
    asha: Person, member: Join, running: Running
) -> None:
    made = await create(asha)
    viewer, other = await member(asha, "viewer"), await running.sign_up("other")
    assert await read(viewer, made) == made
    path = f"/enquiries/{made['id']}"
    for method, where in (("POST", "/enquiries"), ("PATCH", path), ("POST", f"{path}/promote-to-session")):
        assert await viewer.call(method, where, json={"nonsense": 1}) == (403, {"detail": "forbidden_role"})
    assert (await other.get("/enquiries"))["total"] == 0
    missing = (404, {"detail": "enquiry_not_found"})
    assert await other.call("GET", path) == missing
    assert await patch(other, made, status="booked") == missing
    assert await other.call("POST", f"{path}/promote-to-session") == missing
    agent = await member(asha, "agent")
    assert (await patch(agent, made, status="quoted"))[0] == 200


async def test_notes_of_full_length_fit_into_a_change(asha: Person) -> None:
    made = await create(asha)
    notes = "\U0001f600" * 10_000
    status, body = await patch(asha, made, notes=notes)
    assert (status, body["notes"] == notes) == (200, True)
