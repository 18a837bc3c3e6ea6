"""The books as files for TallyPrime, batch by batch."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ..actors.domain import tally
from ..actors.domain.tally import Ledgers
from ..actors.runtime.actor import Recipient
from ..storage.vouchers import Batch, Extent, Parties


async def vouchers(store: Recipient, tenant_id: str, extent: Extent) -> AsyncGenerator[bytes, None]:
    """The vouchers of all journals. No connection to the database is held while a piece is taken."""
    ledgers = _ledgers(extent)
    yield tally.opening("Vouchers")
    after = None
    while found := await store.ask(Batch(tenant_id=tenant_id, of=extent, after=after)):
        yield tally.vouchers(found, ledgers)
        after = found[-1].journal
    yield tally.CLOSING


async def masters(store: Recipient, tenant_id: str, extent: Extent) -> AsyncGenerator[bytes, None]:
    """The ledgers of all accounts, and of the parties of the vouchers."""
    ledgers = _ledgers(extent)
    yield tally.opening("All Masters") + tally.masters_of_accounts(ledgers)
    after = None
    while found := await store.ask(Parties(tenant_id=tenant_id, of=extent, after=after)):
        yield tally.masters_of_parties(((each.kind, each.name) for each in found), ledgers)
        after = found[-1]
    yield tally.CLOSING


def _ledgers(extent: Extent) -> Ledgers:
    return Ledgers(extent.accounts.values(), extent.namesakes)
