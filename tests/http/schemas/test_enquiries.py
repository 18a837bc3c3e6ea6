"""A new enquiry: encoded without models, it is what the models say."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from voyagent.actors.domain.enquiries import STATUSES, Enquiry
from voyagent.http.request_context import encoded
from voyagent.http.schemas.enquiries import EnquiryCreatedResponse, PossibleDuplicateResponse
from voyagent.storage.enquiries import Opened

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
ALIKE = st.builds(
    PossibleDuplicateResponse,
    id=TEXT,
    customer_name=TEXT,
    status=st.sampled_from(STATUSES),
    created_at=TIMES,
    same=st.sampled_from([["email"], ["phone"], ["email", "phone"]]),
)


@given(ENQUIRIES, st.lists(ALIKE, max_size=2))
def test_a_new_enquiry_is_encoded_as_its_model_would_be(
    enquiry: Enquiry, alike: list[PossibleDuplicateResponse]
) -> None:
    model = EnquiryCreatedResponse(**enquiry._asdict(), possible_duplicates=alike)
    opened = Opened(enquiry, b"[%b]" % b",".join(map(encoded, alike)))
    assert EnquiryCreatedResponse.encoded(opened) == encoded(model)
