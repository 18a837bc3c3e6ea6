"""``/enquiries``."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from ...actors.domain import enquiries as rules
from ...actors.domain.days import end_of, start_of
from ...actors.domain.errors import Unprocessable
from ...actors.domain.ids import uuid7
from ...storage import enquiries
from ...storage.engine.idempotency import Once
from ...storage.enquiries import Opened, Promoted
from ...storage.enquiry_lists import Filters, Page
from ..agency_zone import agency_zone
from ..operation import Refusals, operation
from ..request_context import Answer, RequestContext
from ..schemas.enquiries import (
    EnquiryCreatedResponse,
    EnquiryCreateRequest,
    EnquiryFollowedResponse,
    EnquiryListQuery,
    EnquiryListResponse,
    EnquiryPatchRequest,
    EnquiryResponse,
    PromoteResponse,
)
from .sessions import counted, sender

NO_ENQUIRY: Final[Refusals] = {404: ("enquiry_not_found",)}
AGAINST_A_RULE = ("invalid_currency", "invalid_date_range", "invalid_pax_count")
NO_SESSION = ("invalid_session_id", "session_not_found")


def enquiry_id(call: RequestContext) -> str:
    """The enquiry's id in the path. NotFound ``enquiry_not_found`` if it is malformed."""
    return call.id("enquiry_id", missing="enquiry_not_found")


@operation(
    name="create_enquiry",
    body=EnquiryCreateRequest,
    sends={
        "customer_name": "Ravi Menon",
        "customer_email": "ravi@example.com",
        "origin": "Mumbai",
        "destination": "Dubai",
        "pax_count": 2,
        "budget_amount": "45000.00",
        "budget_currency": "INR",
    },
    reply=EnquiryCreatedResponse,
    refusals={400: AGAINST_A_RULE, 422: NO_SESSION},
)
async def create(call: RequestContext) -> Answer:
    """Create an enquiry. Earlier ones that may be of the same customer are listed, and never merged with it."""
    body: EnquiryCreateRequest = call.body
    now, person = call.services.clock.now(), call.person
    enquiry = rules.opened(body.given, enquiry_id=uuid7(), tenant_id=person.tenant_id, by=person.user_id, now=now)
    make = enquiries.Create(tenant_id=person.tenant_id, enquiry=enquiry, author=sender(call))
    done = await call.once(make, Opened, now)
    return Answer(EnquiryCreatedResponse.encoded(done.value)).mark_replayed(done.replayed)


@operation(
    name="list_enquiries",
    query=EnquiryListQuery,
    reply=EnquiryListResponse,
    refusals={422: ("invalid_depart_range", "invalid_created_range")},
)
async def page(call: RequestContext) -> Answer:
    """List the agency's enquiries, newest first."""
    query: EnquiryListQuery = call.query
    list_page = Page(
        tenant_id=call.person.tenant_id, filters=await _filters(call, query), limit=query.limit, offset=query.offset
    )
    return Answer(EnquiryListResponse.encoded(await call.storage.ask(list_page), query))


@operation(name="get_enquiry", reply=EnquiryFollowedResponse, refusals=NO_ENQUIRY)
async def read(call: RequestContext) -> Answer:
    """Retrieve an enquiry, with what was booked for it."""
    one = enquiries.Read(tenant_id=call.person.tenant_id, enquiry_id=enquiry_id(call))
    return Answer(EnquiryFollowedResponse.of(await call.storage.ask(one)))


@operation(
    name="patch_enquiry",
    body=EnquiryPatchRequest,
    sends={"status": "quoted", "notes": "Offered two flights"},
    reply=EnquiryResponse,
    refusals={
        **NO_ENQUIRY,
        400: (*AGAINST_A_RULE, "invalid_status_transition"),
        422: (
            "status_cannot_be_null",
            "customer_name_cannot_be_null",
            "pax_count_cannot_be_null",
            *NO_SESSION,
        ),
    },
)
async def change(call: RequestContext) -> Answer:
    """Update an enquiry. Omitted fields are kept. A booked or cancelled one does not become new or quoted again."""
    body: EnquiryPatchRequest = call.body
    changed = await call.storage.ask(
        enquiries.Change(
            tenant_id=call.person.tenant_id,
            enquiry_id=enquiry_id(call),
            given=body.given,
            author=sender(call),
            now=call.services.clock.now(),
        )
    )
    return Answer(EnquiryResponse.of(changed))


@operation(
    name="promote_to_session",
    reply=PromoteResponse,
    refusals={**NO_ENQUIRY, 429: ("too_many_sessions",)},
)
async def promote(call: RequestContext) -> Answer:
    """Open a conversation for an enquiry, or return the one it is linked to. Its agent is given the enquiry."""
    now, tenant_id, new = call.services.clock.now(), call.person.tenant_id, uuid7()
    link = enquiries.Promote(
        tenant_id=tenant_id, enquiry_id=enquiry_id(call), new_session_id=new, author=sender(call), now=now
    )
    once = Once(tenant_id=tenant_id, key=call.idempotency, command=link, reply=Promoted, now=now)
    done = await counted(call, once, lambda promoted: promoted.session_id == new)
    return Answer(PromoteResponse.of(done.value)).mark_replayed(done.replayed)


async def _filters(call: RequestContext, query: EnquiryListQuery) -> Filters:
    """Refusals: ``invalid_depart_range``, ``invalid_created_range``."""
    if query.depart_from and query.depart_to and query.depart_to < query.depart_from:
        raise Unprocessable("invalid_depart_range")
    if query.created_from and query.created_to and query.created_to < query.created_from:
        raise Unprocessable("invalid_created_range")
    days = UTC if query.tz == "utc" or not (query.created_from or query.created_to) else await agency_zone(call)
    return Filters(
        status=None if query.status == "all" else query.status,
        q=query.q,
        customer_email=query.customer_email,
        origin=query.origin,
        destination=query.destination,
        depart_from=query.depart_from,
        depart_to=query.depart_to,
        created_from=start_of(query.created_from, days) if query.created_from else None,
        created_before=end_of(query.created_to, days) if query.created_to else None,
    )
