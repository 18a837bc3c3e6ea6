"""Lists of enquiries: filters, days and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .enquiries import create

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person


BAD_QUERIES = {
    "status": "won",
    "limit": "501",
    "offset": "-1",
    "q": "x" * 256,
    "origin": "x" * 129,
    "customer_email": "x" * 256,
    "depart_from": "",
    "created_to": "2026-13-01",
    "tz": "Asia/Kolkata",
    "destination": "\x00",
}


async def names(who: Person, **query: Any) -> list[str]:
    page = await who.get("/enquiries", params=query)
    assert page["total"] == len(page["items"])
    return [item["customer_name"] for item in page["items"]]


async def test_b32_text_filters_are_substrings_in_any_case_and_wildcards_are_literal(asha: Person) -> None:
    await create(asha, customer_name="100% O_Neil \\ Sons", customer_email="oneil@example.com", origin="Goa")
    await create(asha, customer_name="Émile ZOLA", customer_phone="+33 1 23", destination="Goa")
    await create(asha, customer_name="Asha Rao", origin="Dubai", destination="Delhi")
    assert await names(asha, q="%") == ["100% O_Neil \\ Sons"]
    assert await names(asha, q="_") == ["100% O_Neil \\ Sons"]
    assert await names(asha, q="\\") == ["100% O_Neil \\ Sons"]
    assert await names(asha, q="émile z") == ["Émile ZOLA"]
    assert await names(asha, q="GOA") == ["Émile ZOLA", "100% O_Neil \\ Sons"]
    assert await names(asha, q="+33 1") == ["Émile ZOLA"]
    assert await names(asha, q="ONEIL@") == ["100% O_Neil \\ Sons"]
    assert await names(asha, origin="goa") == ["100% O_Neil \\ Sons"]
    assert await names(asha, destination="o") == ["Émile ZOLA"]
    assert await names(asha, customer_email="oneil", origin="o") == ["100% O_Neil \\ Sons"]
    assert await names(asha, q="raodubai") == await names(asha, q="rao\x1f\x1f\x1fdubai") == []
    assert len(await names(asha, q="", origin="", customer_email="")) == 3
    await create(asha, customer_name="one\x1ftwo")
    assert await names(asha, q="ONE\x1ft") == ["one\x1ftwo"]


async def test_lists_filter_by_status_and_dates_and_combine(asha: Person) -> None:
    await create(asha, customer_name="A", status="new", depart_date="2026-12-01")
    await create(asha, customer_name="B", status="quoted", depart_date="2026-12-02")
    await create(asha, customer_name="C", status="quoted")
    assert await names(asha) == await names(asha, status="all") == ["C", "B", "A"]
    assert await names(asha, status="quoted") == ["C", "B"]
    assert await names(asha, depart_from="2026-12-02") == ["B"]
    assert await names(asha, depart_from="2026-12-01", depart_to="2026-12-01") == ["A"]
    assert await names(asha, depart_to="2026-12-02", status="quoted") == ["B"]
    assert await names(asha, depart_to="9999-12-31", created_from="0001-01-01", created_to="9999-12-31") == ["B", "A"]
    refused = {"depart": "invalid_depart_range", "created": "invalid_created_range"}
    for name, code in refused.items():
        query = {f"{name}_from": "2026-12-02", f"{name}_to": "2026-12-01"}
        assert await asha.call("GET", "/enquiries", params=query) == (422, {"detail": code})


async def test_b23_a_query_of_the_wrong_shape_is_422(asha: Person) -> None:
    for name, value in BAD_QUERIES.items():
        status, body = await asha.call("GET", "/enquiries", params={name: value})
        assert (status, [item["loc"] for item in body["detail"]]) == (422, [["query", name]])


async def test_t19_created_days_are_utc_or_the_agencys_own(asha: Person, admin: Admin) -> None:
    """An enquiry of 20:00 UTC on the 23rd is one of the 24th in India."""
    await create(asha, customer_name="late")
    await create(asha, customer_name="last")
    await create(asha, customer_name="next")
    await create(asha, customer_name="next in India")
    for name, moment in (
        ("late", "2026-11-23 20:00:00+00"),
        ("last", "2026-11-23 23:59:59.999999+00"),
        ("next", "2026-11-24 00:00:00+00"),
        ("next in India", "2026-11-24 18:30:00+00"),
    ):
        change = "UPDATE enquiries SET created_at = $2::text::timestamptz WHERE customer_name = $1"
        await admin.execute(change, name, moment)
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"timezone": "Asia/Kolkata"})
    assert status == 200
    for day, zone, found in (
        ("2026-11-23", "utc", ["last", "late"]),
        ("2026-11-24", "utc", ["next in India", "next"]),
        ("2026-11-23", "agency", []),
        ("2026-11-24", "agency", ["next", "last", "late"]),
        ("2026-11-25", "agency", ["next in India"]),
    ):
        assert await names(asha, created_from=day, created_to=day, tz=zone) == found, (day, zone)
    edges = {"created_from": "0001-01-01", "created_to": "9999-12-31", "tz": "agency"}
    assert await names(asha, **edges) == ["next in India", "next", "last", "late"]


async def test_b25_pages_neither_overlap_nor_skip_at_equal_times(asha: Person, admin: Admin) -> None:
    made = [await create(asha, customer_name=str(number)) for number in range(7)]
    await admin.execute("UPDATE enquiries SET created_at = '2026-11-23 12:00:00+00'")
    pages = [await asha.get("/enquiries", params={"limit": "3", "offset": str(at)}) for at in (0, 3, 6, 9)]
    assert [len(page["items"]) for page in pages] == [3, 3, 1, 0]
    assert all((page["total"], page["limit"]) == (7, 3) for page in pages)
    ids = [item["id"] for page in pages for item in page["items"]]
    assert ids == sorted((each["id"] for each in made), reverse=True)
    texts = await asha.get("/enquiries", params={"q": "4", "offset": "5"})
    assert (texts["items"], texts["total"], texts["offset"]) == ([], 1, 5)
