"""``/enquiries`` written plainly in FastAPI and SQLAlchemy's ORM, to compare with: the same tables, rules and answers.

Each request checks a token, reads its user, and works in one transaction held by row-level security. A new enquiry
appends its audit event to the agency's hash chain, as ours does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import jwt
import uuid_utils
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, field_serializer
from sqlalchemy import func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from voyagent.storage.tables import audit_events, audit_heads, enquiries, users

ALGORITHM = "HS256"


class Base(DeclarativeBase):
    pass


class User(Base):
    __table__ = users


class Enquiry(Base):
    __table__ = enquiries
    __mapper_args__ = {"exclude_properties": ["searched"]}  # noqa: RUF012  # SQLAlchemy's own


class AuditHead(Base):
    __table__ = audit_heads


class AuditEvent(Base):
    __table__ = audit_events


class EnquiryCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer_name: str = Field(min_length=1, max_length=255)
    customer_email: str | None = Field(default=None, max_length=255)
    customer_phone: str | None = Field(default=None, max_length=64)
    origin: str | None = Field(default=None, max_length=128)
    destination: str | None = Field(default=None, max_length=128)
    depart_date: date | None = None
    return_date: date | None = None
    pax_count: int = 1
    budget_amount: Decimal | None = Field(default=None, ge=0)
    budget_currency: str | None = None
    status: Literal["new", "quoted", "booked", "cancelled"] = "new"
    notes: str | None = Field(default=None, max_length=10_000)
    session_id: str | None = None


class EnquiryOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant_id: str
    created_by_user_id: str
    customer_name: str
    customer_email: str | None
    customer_phone: str | None
    origin: str | None
    destination: str | None
    depart_date: date | None
    return_date: date | None
    pax_count: int
    budget_amount: Decimal | None
    budget_currency: str | None
    status: str
    notes: str | None
    session_id: str | None
    created_at: datetime
    updated_at: datetime

    @field_serializer("budget_amount")
    def _two_decimals(self, amount: Decimal | None) -> str | None:
        return None if amount is None else f"{amount:.2f}"


class EnquiryPage(BaseModel):
    items: list[EnquiryOut]
    total: int
    limit: int
    offset: int


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


Db = Annotated[AsyncSession, Depends(session)]


async def user(request: Request, db: Db, authorization: Annotated[str, Header()]) -> User:
    secret = request.app.state.secret
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), secret, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "unauthorized") from error
    await db.execute(text("SELECT set_config('voyagent.tenant_id', :tenant, true)"), {"tenant": claims["tid"]})
    found = await db.get(User, claims["sub"])
    if found is None:
        raise HTTPException(401, "unauthorized")
    return found


Caller = Annotated[User, Depends(user)]
router = APIRouter()


@router.get("/enquiries")
async def list_enquiries(
    db: Db,
    caller: Caller,
    status: Literal["new", "quoted", "booked", "cancelled", "all"] = "all",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
    q: Annotated[str | None, Query(max_length=255)] = None,
) -> EnquiryPage:
    wanted = select(Enquiry).where(Enquiry.tenant_id == caller.tenant_id)
    if status != "all":
        wanted = wanted.where(Enquiry.status == status)
    if q:
        fields = (Enquiry.customer_name, Enquiry.customer_email, Enquiry.origin, Enquiry.destination)
        wanted = wanted.where(or_(*(field.icontains(q, autoescape=True) for field in fields)))
    total = await db.scalar(select(func.count()).select_from(wanted.subquery()))
    newest = wanted.order_by(Enquiry.created_at.desc(), Enquiry.id.desc()).limit(limit).offset(offset)
    items = [EnquiryOut.model_validate(row) for row in await db.scalars(newest)]
    return EnquiryPage(items=items, total=total or 0, limit=limit, offset=offset)


@router.post("/enquiries", status_code=201)
async def create_enquiry(request: Request, body: EnquiryCreate, db: Db, caller: Caller) -> EnquiryOut:
    if body.depart_date and body.return_date and body.return_date < body.depart_date:
        raise HTTPException(400, "invalid_date_range")
    if body.pax_count < 1:
        raise HTTPException(400, "invalid_pax_count")
    now = datetime.now(UTC)
    made = Enquiry(
        id=str(uuid_utils.uuid7()),
        tenant_id=caller.tenant_id,
        created_by_user_id=caller.id,
        created_at=now,
        updated_at=now,
        **body.model_dump(),
    )
    db.add(made)
    await db.flush()
    await _audit(db, caller, made, now, request)
    await db.commit()
    return EnquiryOut.model_validate(made)


def application(database_url: str, secret: str) -> FastAPI:
    """The application on one database; ``secret`` signs its tokens."""
    app = FastAPI()
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=10)
    app.state.sessions, app.state.secret = async_sessionmaker(engine, expire_on_commit=False), secret
    app.include_router(router)
    return app


async def _audit(db: AsyncSession, caller: User, made: Enquiry, now: datetime, request: Request) -> None:
    head = await db.get(AuditHead, caller.tenant_id, with_for_update=True)
    if head is None:
        raise HTTPException(500, "internal_error")
    event: dict[str, Any] = {
        "id": str(uuid_utils.uuid7()),
        "tenant_id": caller.tenant_id,
        "seq": head.seq + 1,
        "prev_hash": head.hash,
        "hash_v": 1,
        "actor_id": caller.id,
        "actor_kind": "human",
        "kind": "enquiry.created",
        "inputs": {"ip": request.client and request.client.host, "status": {"to": made.status}},
        "outputs": {},
        "entity_refs": {"enquiry_id": made.id},
        "approval_required": False,
        "status": "succeeded",
        "created_at": now,
    }
    written = json.dumps(event, sort_keys=True, separators=(",", ":"), default=str)
    event["hash"] = hashlib.sha256(written.encode()).hexdigest()
    db.add(AuditEvent(**event))
    head.seq, head.hash = event["seq"], event["hash"]


def token(user_id: str, tenant_id: str, secret: str) -> str:
    """A bearer token of ``application``."""
    return jwt.encode({"sub": user_id, "tid": tenant_id}, secret, algorithm=ALGORITHM)
