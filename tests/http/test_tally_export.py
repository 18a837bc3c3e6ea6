"""A download of the books ends with its client, and with the client's access."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.downloads import ended
from tests.figures import gauged
from tests.http.conftest import TENANT
from tests.waiting import Event
from voyagent.actors.accounts.access_watch import AccessWatch
from voyagent.actors.accounts.actor import Watch
from voyagent.actors.domain.books import JournalEntry, LedgerAccount, Line, PostedJournal
from voyagent.actors.domain.money import Money
from voyagent.actors.domain.settings import TenantSettings
from voyagent.actors.domain.tally import Voucher
from voyagent.actors.foundation import metrics
from voyagent.storage.accounts.settings import Load
from voyagent.storage.vouchers import Batch, Begin, Extent, Parties, Party

if TYPE_CHECKING:
    from tests.http.conftest import Client

DAY = date(2026, 4, 1)
CASH = LedgerAccount(id="1", code="1000", name="Cash and bank", type="asset", is_control=False, is_active=True)
PATHS = {
    "vouchers": "/reports/tally/vouchers?from=2026-04-01&to=2026-04-01",
    "ledgers": "/reports/tally/ledgers?from=2026-04-01&to=2026-04-01",
}
LONG = "a" * 4_000


def voucher(number: int) -> Voucher:
    sides: Any = ("debit", "credit")
    lines = tuple(Line(account=CASH, side=side, money=Money.of(number, "INR"), memo=LONG) for side in sides)
    entry = JournalEntry(entry_date=DAY, narration=LONG, source_event="manual.journal", lines=lines)
    return Voucher(journal=PostedJournal(id=f"{number:032x}", entry=entry))


@pytest.fixture
def asked(client: Client) -> Event:
    """Storage has an endless ledger; set by each batch that is read of it."""
    made = Event()

    def batch(of: Batch) -> list[Voucher]:
        made.set()
        first = 1 if of.after is None else int(of.after.id, 16) + 1
        return [voucher(number) for number in range(first, first + 50)]

    def parties(of: Parties) -> list[Party]:
        made.set()
        first = 0 if of.after is None else int(of.after.key) + 1
        return [Party("customer", str(number), f"{number} {LONG}") for number in range(first, first + 50)]

    settings = TenantSettings(tenant_id=TENANT)
    extent = Extent(
        first=DAY,
        last=DAY,
        currency="INR",
        newest=TENANT,
        accounts={CASH.id: CASH},
        namesakes=frozenset(),
        others=(),
    )
    client.accounts.answers[Watch] = lambda watch: AccessWatch(watch.principal)
    client.storage.answers |= {Load: lambda _: settings, Begin: lambda _: extent, Batch: batch, Parties: parties}
    return made


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_nothing_more_is_read_for_a_client_that_has_gone(path: str, client: Client, asked: Event) -> None:
    held = gauged(metrics.API_REQUESTS_IN_PROGRESS)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer viewer\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await asked.wait()
    writer.transport.abort()
    await ended(held)
    read = len(client.storage.asked)
    await asyncio.sleep(0)
    assert len(client.storage.asked) == read


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_a_client_that_reads_nothing_makes_nothing_be_read_ahead(path: str, client: Client, asked: Event) -> None:
    _, writer = await asyncio.open_connection(client.host, client.port, limit=1024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer viewer\r\n\r\n".encode())
    await asked.wait()
    async with asyncio.timeout(10):
        read = -1
        while read != len(client.storage.asked):
            read = len(client.storage.asked)
            await asyncio.sleep(0.2)
    assert read < 100  # of 0.4 MB each: what buffers of sockets take
    writer.transport.abort()


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_a_client_whose_access_is_revoked_is_disconnected_in_the_middle(
    path: str, client: Client, asked: Event
) -> None:
    watches: list[AccessWatch] = []

    def watched(watch: Watch) -> AccessWatch:
        watches.append(AccessWatch(watch.principal))
        return watches[-1]

    client.accounts.answers[Watch] = watched
    held = gauged(metrics.API_REQUESTS_IN_PROGRESS)
    url = f"http://{client.host}:{client.port}{path}"
    async with client.session.get(url, headers={"Authorization": "Bearer viewer"}) as answer:
        assert (await answer.content.readany()).startswith(b"<?xml")
        await asked.wait()
        watches[0].revoke()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    await ended(held)
    assert watches[0].on_revoked is None


async def test_a_file_for_http_1_0_ends_with_its_connection(client: Client, asked: Event) -> None:
    del asked
    client.storage.answers[Batch] = lambda of: [voucher(1)] if of.after is None else []
    asks = f"GET {PATHS['vouchers']} HTTP/1.0\r\nAuthorization: Bearer viewer\r\n\r\n".encode()
    head, body = await client.raw(asks)
    assert b"Transfer-Encoding" not in head
    assert body.startswith(b"<?xml")
    assert body.endswith(b"</ENVELOPE>\n")
