"""What invoices and bills have in common: the bookings they name, and the reversal of what they posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select

from ...actors.domain.ids import parse_uuid
from .. import general_ledger
from ..engine.statements import any_of, statement
from ..tables import bookings
from .act import Act

if TYPE_CHECKING:
    from ..engine.connection import Connection

BOOKINGS = statement(
    select(bookings.c.id).where(bookings.c.tenant_id == bindparam("tenant_id"), any_of(bookings.c.id, "ids"))
)


class Voided(NamedTuple):
    """A void document and the journal that took its issue back, if it had one."""

    id: str
    journal_id: str | None


async def find_bookings(db: Connection, tenant_id: str, ids: Sequence[str | None]) -> bool:
    """Whether all bookings that are named exist."""
    named = {each for each in ids if each is not None}
    known = {parse_uuid(each) for each in named}
    if None in known:
        return False
    return len(await BOOKINGS.fetch(db, tenant_id=tenant_id, ids=list(known))) == len(known) if known else True


async def reverse_document(act: Act[Any, Any], db: Connection, key: str, new_key: str, narration: str) -> str:
    """Reverse the journal that was posted with ``key``; returns the new journal's id."""
    journal_id = await general_ledger.find_by_key(db, act.tenant_id, key)
    posted = journal_id and await general_ledger.find_journal(db, act.tenant_id, journal_id, act.now)
    if not posted:
        raise AssertionError(f"a document in the books has no journal {key}")
    entry = posted.reversal(act.today, narration, "document.voided")
    return await general_ledger.post(db, act.tenant_id, entry, key=new_key, by=act.by, now=act.now)
