"""Enquiries over the wire, as tests make and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.service.conftest import Person


FULL = {
    "customer_name": "Asha Rao",
    "customer_email": "Asha.Rao@Example.com",
    "customer_phone": "+91 98200 12345",
    "origin": "Mumbai",
    "destination": "Dubai",
    "depart_date": "2026-12-12",
    "return_date": "2026-12-19",
    "pax_count": 2,
    "budget_amount": "45000.00",
    "budget_currency": "INR",
    "status": "quoted",
    "notes": "  window seats\n",
}


async def create(who: Person, **fields: Any) -> dict[str, Any]:
    status, body = await who.call("POST", "/enquiries", json={"customer_name": "Asha Rao", **fields})
    assert status == 201, body
    return {name: value for name, value in body.items() if name != "possible_duplicates"}


async def patch(who: Person, enquiry: dict[str, Any], **fields: Any) -> tuple[int, Any]:
    return await who.call("PATCH", f"/enquiries/{enquiry['id']}", json=fields)


async def promote(who: Person, enquiry: dict[str, Any]) -> dict[str, Any]:
    status, body = await who.call("POST", f"/enquiries/{enquiry['id']}/promote-to-session")
    assert status == 200, body
    return dict(body)
