"""Lists of enquiries: filters, one page, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)

from .engine.operations import SharedQuery
from .engine.statements import Statement, statement
from .enquiries import COLUMNS
from .schema.enquiries import SEARCHED, SEPARATOR
from .shown import as_shown, json_of
from .tables import enquiries

if TYPE_CHECKING:
    from .engine.connection import Connection


NARROW: Final = timedelta(days=31)
"""Travel dates as far apart as this are looked up by date; beyond it enquiries are read in their order of creation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What an enquiry has to match; ``None`` and the empty text match all. ``created_before`` is exclusive."""

    status: str | None = None
    q: str | None = None
    customer_email: str | None = None
    origin: str | None = None
    destination: str | None = None
    depart_from: date | None = None
    depart_to: date | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_wide(self) -> bool:
        """Whether the travel dates leave so many days that most enquiries may match."""
        if self.depart_from is None or self.depart_to is None:
            return (self.depart_from or self.depart_to) is not None
        return self.depart_to - self.depart_from > NARROW

    def given(self) -> dict[str, Any]:
        """The filters that are set."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) not in {None, ""}}


@dataclass(frozen=True, slots=True)
class Enquiries:
    """One page of enquiries, a JSON array of what the API shows of each, and how many match."""

    items: bytes
    total: int


def _contains(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether a column in lower case contains a text; the subquery makes that text lower case once, not in each row."""
    return func.strpos(column, select(func.lower(bindparam(name, type_=Text))).scalar_subquery()) > 0


def _in_field(field: str) -> ColumnElement[bool]:
    """Whether one field contains a text: looked for in the column that is in lower case already, then in the field."""
    return and_(_contains(enquiries.c.searched, field), _contains(func.lower(enquiries.c[field]), field))


TEXTS: Final[dict[str, ColumnElement[bool]]] = {
    "q": _contains(enquiries.c.searched, "q"),
    **{field: _in_field(field) for field in ("customer_email", "origin", "destination")},
}
SPLIT_Q: Final = or_(*(_contains(func.lower(enquiries.c[field]), "q") for field in SEARCHED))
"""``q`` where it contains the separator of the fields, so that it could match across two."""

OTHERS: Final[dict[str, ColumnElement[bool]]] = {
    "status": enquiries.c.status == bindparam("status"),
    "depart_from": enquiries.c.depart_date >= bindparam("depart_from"),
    "depart_to": enquiries.c.depart_date <= bindparam("depart_to"),
    "created_from": enquiries.c.created_at >= bindparam("created_from"),
    "created_before": enquiries.c.created_at < bindparam("created_before"),
}
WIDE: Final[dict[str, ColumnElement[bool]]] = {
    "depart_from": bindparam("depart_from", type_=Date) <= enquiries.c.depart_date + literal(0),
    "depart_to": bindparam("depart_to", type_=Date) >= enquiries.c.depart_date - literal(0),
}
"""Conditions that no index of dates serves, and two that the planner takes for no range: of one it expects few days,
whatever they are, and sorts all that it finds instead of reading the newest first.
"""
_NEWEST_FIRST = (enquiries.c.created_at.desc(), enquiries.c.id.desc())


SHOWN: Final = [as_shown(column) for column in COLUMNS]


@cache
def page(given: frozenset[str], *, split_q: bool = False, is_wide: bool = False) -> Statement:
    """The statement for a set of filters: one row, the total and the page as JSON.

    Each set has its own, so that every filter of it is a condition of an index. The page is found in the order of an
    index, and what matches is counted only if the page does not tell: if it is full, or beyond the end. Travel dates
    are counted in an index that stores equal keys once: a year of 100,000 enquiries takes 4 ms. Texts have no index:
    a trigram's operators are not leakproof, so under row-level security the planner does not use one.
    """
    own = enquiries.c.tenant_id == bindparam("tenant_id")
    conditions = {name: condition for name, condition in (OTHERS | TEXTS).items() if name in given}
    if split_q:
        conditions["q"] = SPLIT_Q
    found = {name: WIDE.get(name, condition) if is_wide else condition for name, condition in conditions.items()}
    ids = (
        select(enquiries.c.id)
        .where(own, *found.values())
        .order_by(*_NEWEST_FIRST)
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
        .cte("page")
    )
    shown = enquiries.join(ids, and_(enquiries.c.tenant_id == bindparam("tenant_id"), enquiries.c.id == ids.c.id))
    counted = _counted(
        ids, select(func.count()).select_from(enquiries).where(own, *conditions.values()).scalar_subquery()
    )
    return statement(
        select(counted.c.total, json_of(select(*SHOWN).select_from(shown).order_by(*_NEWEST_FIRST)).label("items"))
    )


def _counted(ids: CTE, all_matching: ColumnElement[int]) -> Subquery:
    """The total: where a page ends before its limit, as many as are before it and on it."""
    length = select(func.count().label("length")).select_from(ids).subquery("measured").c.length
    limit, offset = bindparam("limit", type_=BigInteger), bindparam("offset", type_=BigInteger)
    ends_here = and_(length < limit, or_(length > 0, offset == literal(0)))
    return select(case((ends_here, offset + length), else_=all_matching).label("total")).subquery("counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(SharedQuery[Enquiries]):
    """One page of the agency's enquiries, newest first, with the total of the same snapshot."""

    filters: Filters
    limit: int
    offset: int

    async def run(self, db: Connection) -> Enquiries:
        given = self.filters.given()
        one = page(frozenset(given), split_q=SEPARATOR in given.get("q", ""), is_wide=self.filters.is_wide)
        row = await one.fetchrow(db, tenant_id=self.tenant_id, limit=self.limit, offset=self.offset, **given)
        return Enquiries(row["items"], row["total"])
