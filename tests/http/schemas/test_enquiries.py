"""Pages of enquiries: encoded without models, they are what the models say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.enquiries import Enquiry
from voyagent.http.request_context import encoded
from voyagent.http.schemas.enquiries import EnquiryListQuery, EnquiryListResponse, EnquiryResponse
from voyagent.storage.enquiry_lists import Enquiries

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds it
ENQUIRIES = st.builds(
    Enquiry,
    id=TEXT,
    tenant_id=TEXT,
    created_by_user_id=TEXT,
    customer_name=TEXT,
    customer_email=st.none() | TEXT,
    customer_phone=st.none() | TEXT,
    origin=st.none() | TEXT,
    destination=st.none() | TEXT,
    depart_date=st.none() | st.dates(),
    return_date=st.none() | st.dates(),
    pax_count=st.integers(1, 2**31 - 1),
    budget_amount=st.none() | st.decimals(0, Decimal("999999999999.99"), places=2),
    budget_currency=st.none() | TEXT,
    status=TEXT,
    notes=st.none() | TEXT,
    session_id=st.none() | TEXT,
    created_at=TIMES,
    updated_at=TIMES,
)


@given(st.lists(ENQUIRIES, max_size=3))
def test_a_page_is_encoded_as_its_model_would_be(items: list[Enquiry]) -> None:
    query = EnquiryListQuery(limit=3, offset=1)
    model = EnquiryListResponse(items=[EnquiryResponse.of(each) for each in items], total=7, limit=3, offset=1)
    assert EnquiryListResponse.encoded(Enquiries(tuple(items), 7), query) == encoded(model)


def test_the_first_and_the_last_day_and_a_whole_second_keep_their_form() -> None:
    day, moment = date(1, 1, 1), datetime(2026, 11, 23, 12, tzinfo=UTC)
    one = Enquiry(*["x"] * 8, day, date.max, 1, Decimal("45000.0000"), "INR", "new", None, None, moment, moment)
    raw = EnquiryListResponse.encoded(Enquiries((one,), 1), EnquiryListQuery())
    for shown in (b'"0001-01-01"', b'"9999-12-31"', b'"45000.00"', b'"2026-11-23T12:00:00.000000Z"'):
        assert shown in raw
