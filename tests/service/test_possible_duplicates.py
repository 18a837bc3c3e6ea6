"""Enquiries that may be of one customer are pointed out, and never merged (T21)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

MEERA = {"customer_name": "Meera Iyer", "customer_phone": "+91 98123 45678", "customer_email": "A.B+x@example.com"}


async def created(who: Person, **fields: Any) -> dict[str, Any]:
    status, body = await who.call("POST", "/enquiries", json={"customer_name": "Asha Rao", **fields})
    assert status == 201, body
    return dict(body)


def same(made: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(each["id"], each["same"]) for each in made["possible_duplicates"]]


async def test_t21_a_repeated_create_under_a_key_is_one_enquiry_and_without_one_two(asha: Person, admin: Admin) -> None:
    first = await asha.raw("POST", "/enquiries", "k", MEERA)
    again = await asha.raw("POST", "/enquiries", "k", MEERA)
    assert (first[0], again[0], first[2]) == (201, 201, again[2])
    assert ("Idempotency-Replayed" in first[1], again[1]["Idempotency-Replayed"]) == (False, "true")
    assert (await asha.raw("POST", "/enquiries", "k", {"customer_name": "B"}))[0] == 422
    second = await created(asha, **MEERA)
    assert same(second) == [(json.loads(first[2])["id"], ["email", "phone"])]
    third = await asha.raw("POST", "/enquiries", "k-3", MEERA)
    assert len(json.loads(third[2])["possible_duplicates"]) == 2
    assert (await asha.raw("POST", "/enquiries", "k-3", MEERA))[2] == third[2]
    assert (await asha.get("/enquiries"))["total"] == 3
    assert (await admin.audit_kinds()).count("enquiry.created") == 3


async def test_t21_one_customer_is_recognised_however_number_and_address_are_written(asha: Person) -> None:
    first = await created(asha, **MEERA, status="cancelled")
    assert first["possible_duplicates"] == []
    other = await created(asha, customer_phone="+971 98123 45679", customer_email="b+x@example.com")
    assert other["possible_duplicates"] == []
    zero = await created(asha, customer_phone="09812345678")
    assert zero["possible_duplicates"] == [
        {
            "id": first["id"],
            "customer_name": "Meera Iyer",
            "status": "cancelled",
            "created_at": first["created_at"],
            "same": ["phone"],
        }
    ]
    plain = await created(asha, customer_phone="+919812345678")
    assert same(plain) == [(zero["id"], ["phone"]), (first["id"], ["phone"])]
    written = await created(asha, customer_email="a.b+X@EXAMPLE.com")
    assert same(written) == [(first["id"], ["email"])]
    both = await created(asha, customer_email="a.b+x@example.com", customer_phone="(98123) 45-678")
    assert same(both) == [
        (written["id"], ["email"]),
        (plain["id"], ["phone"]),
        (zero["id"], ["phone"]),
        (first["id"], ["email", "phone"]),
    ]
    assert (await asha.get("/enquiries"))["total"] == 6, "none is merged with another"


@pytest.mark.parametrize("phone", [None, "", "reception", "0412", "ext. 12345"])
async def test_t21_what_is_no_number_makes_nobody_alike(phone: str | None, asha: Person) -> None:
    for _ in range(2):
        assert (await created(asha, customer_phone=phone))["possible_duplicates"] == []


async def test_t21_the_newest_five_are_pointed_out(asha: Person) -> None:
    made = [await created(asha, **MEERA) for _ in range(7)]
    assert [each for each, _ in same(made[-1])] == [each["id"] for each in reversed(made[1:6])]


async def test_t21_b61_another_agencys_customer_is_nobodys_duplicate(asha: Person, running: Running) -> None:
    other = await running.sign_up("other")
    await created(asha, **MEERA)
    assert (await created(other, **MEERA))["possible_duplicates"] == []


async def test_t21_an_enquiry_that_is_changed_is_found_by_what_it_has_become(asha: Person) -> None:
    first = await created(asha, **MEERA)
    status, _ = await asha.call("PATCH", f"/enquiries/{first['id']}", json={"customer_phone": "+44 20 7946 0958"})
    assert status == 200
    assert (await created(asha, customer_phone="+91 98123 45678"))["possible_duplicates"] == []
    assert same(await created(asha, customer_phone="020 7946 0958")) == [(first["id"], ["phone"])]
