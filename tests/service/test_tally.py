"""``GET /reports/tally/ledgers`` and ``GET /reports/tally/vouchers`` over HTTP (business 8.5)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from tests.downloads import FLAT, measured, soonest
from tests.figures import gauged
from tests.vouchers import JOURNALS, read_ledgers, read_vouchers
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import metrics
from voyagent.storage import vouchers

from .test_aging import Books

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person, Running

Join = Callable[["Person", str], Awaitable["Person"]]
LEDGERS, VOUCHERS = "/reports/tally/ledgers", "/reports/tally/vouchers"
APRIL = "?from=2026-04-01&to=2026-04-30"
OTHERS = "X-Voyagent-Other-Currencies"


async def download(who: Person, path: str, query: str = APRIL) -> tuple[Any, bytes]:
    async with who.http.get(f"{who.url}{path}{query}", headers=who.headers) as response:
        body = await response.read()
        assert response.status == 200, body
        return response.headers, body


@pytest.fixture
async def books(asha: Person, running: Running) -> Books:
    """With an invoice of April in rupees and one in dirhams, and one of May."""
    made = Books(running, asha)
    await made.invoice("118.00", "2026-04-01", "2026-05-01", party="A & B Tours")
    await made.invoice("7.00", "2026-04-02", "2026-05-01", currency="AED", party="Gulf")
    await made.invoice("9.00", "2026-05-01", "2026-05-01", party="May")
    return made


@pytest.mark.usefixtures("books")
async def test_t33_the_files_have_names_types_and_the_bytes_of_the_first_time(asha: Person) -> None:
    names = {LEDGERS: "ledgers", VOUCHERS: "vouchers"}
    for path, name in names.items():
        headers, body = await download(asha, path)
        own = f"voyagent-tally-{name}-{asha.user['tenant_id'][:8]}-INR-2026-04-01-2026-04-30.xml"
        assert headers["Content-Type"] == "application/xml"
        assert headers["Content-Disposition"] == f'attachment; filename="{own}"'
        told = [headers[name] for name in ("Transfer-Encoding", "Cache-Control", OTHERS)]
        assert told == ["chunked", "no-store", "AED"]
        assert (await download(asha, path))[1] == body
    [found] = read_vouchers((await download(asha, VOUCHERS))[1])
    assert (found.fields["DATE"], found.fields["PARTYLEDGERNAME"]) == ("20260401", "A & B Tours")
    assert [(line.is_debit, line.amount) for line in found.lines] == [(True, "-118.00"), (False, "118.00")]
    parties = [each.name for each in read_ledgers((await download(asha, LEDGERS))[1]) if each.bill_by_bill]
    assert parties == ["A & B Tours"]


@pytest.mark.usefixtures("books")
async def test_a_file_has_one_currency_the_agencys_unless_another_is_asked_for(asha: Person) -> None:
    headers, body = await download(asha, VOUCHERS, f"{APRIL}&currency=AED")
    assert headers[OTHERS] == "INR"
    assert [each.fields["PARTYLEDGERNAME"] for each in read_vouchers(body)] == ["Gulf"]
    status, _ = await asha.call("PATCH", "/tenant-settings", json={"default_currency": "AED"})
    assert status == 200
    assert (await download(asha, VOUCHERS))[1] == body
    headers, body = await download(asha, VOUCHERS, f"{APRIL}&currency=USD")
    assert (headers[OTHERS], read_vouchers(body)) == ("AED, INR", [])
    headers, _ = await download(asha, VOUCHERS, "?from=2025-01-01&to=2025-01-31")
    assert headers[OTHERS] == ""


@pytest.mark.parametrize("path", [LEDGERS, VOUCHERS])
async def test_every_role_and_an_api_key_may_and_nobody_else(path: str, asha: Person, member: Join) -> None:
    for role in Role:
        assert (await (await member(asha, role)).call("GET", path + APRIL))[0] == 200, role
    _, key = await asha.call("POST", "/auth/api-keys", json={"name": "books"})
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert (await asha.call("GET", path + APRIL, headers=headers))[0] == 200
    refused = (401, {"detail": "unauthorized"})
    assert await asha.call("GET", path + APRIL, headers={"Authorization": "Bearer nobody"}) == refused


BAD = {
    "": "missing",
    "?from=2026-04-01": "missing",
    "?from=2026-04-01&to=30.4.2026": "date_from_datetime_parsing",
    "?from=2026-04-31&to=2026-05-01": "date_from_datetime_parsing",
    f"{APRIL}&currency=inr": "string_pattern_mismatch",
    f"{APRIL}&currency=RUPEE": "string_pattern_mismatch",
    f"{APRIL}&currency=": "string_pattern_mismatch",
}


@pytest.mark.parametrize("path", [LEDGERS, VOUCHERS])
async def test_a_wrong_query_is_422(path: str, asha: Person) -> None:
    for query, kind in BAD.items():
        status, body = await asha.call("GET", path + query)
        assert (status, body["detail"][0]["type"]) == (422, kind), query
    inverted = await asha.call("GET", f"{path}?from=2026-04-02&to=2026-04-01")
    assert inverted == (422, {"detail": "from must be on or before to"})
    for ends in ("?from=0001-01-01&to=9999-12-31", "?from=9999-12-31&to=9999-12-31"):
        assert (await asha.call("GET", path + ends))[0] == 200, ends


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("path", [LEDGERS, VOUCHERS])
async def test_a_head_request_has_the_head_alone(path: str, asha: Person) -> None:
    async with asha.http.head(f"{asha.url}{path}{APRIL}", headers=asha.headers) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert (response.headers["Content-Type"], response.headers[OTHERS]) == ("application/xml", "AED")


@pytest.mark.usefixtures("books")
async def test_b61_nobody_downloads_another_agencys_books(running: Running) -> None:
    other = await running.sign_up("other")
    assert read_vouchers((await download(other, VOUCHERS))[1]) == []
    assert b"Tours" not in (await download(other, LEDGERS))[1]


@pytest.mark.usefixtures("books")
async def test_a_download_that_fails_midway_is_cut_off_and_not_ended(
    asha: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_self: vouchers.Batch, _db: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(vouchers.Batch, "run", broken)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        await download(asha, VOUCHERS)


async def filled(asha: Person, admin: Admin, count: int) -> str:
    """Where the download of that many journals, and that of ``books``, is."""
    await admin.execute("SET session_replication_role = replica")
    await admin.execute(JOURNALS, asha.user["tenant_id"], count, 30)
    await admin.execute("VACUUM ANALYZE journals, journal_lines")
    return f"{asha.url}{VOUCHERS}{APRIL}"


def busy() -> float:
    return gauged(metrics.STORAGE_CONNECTIONS, "busy")


def in_progress() -> float:
    return gauged(metrics.API_REQUESTS_IN_PROGRESS)


@pytest.mark.usefixtures("books")
async def test_a_client_that_reads_nothing_and_goes_away_holds_no_connection(asha: Person, admin: Admin) -> None:
    url, held = URL(await filled(asha, admin, 12_000)), in_progress()
    assert url.host is not None
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        line.setblocking(False)
        await loop.sock_connect(line, (url.host, url.port))
        asked = f"GET {url.path_qs} HTTP/1.1\r\nHost: x\r\nAuthorization: {asha.headers['Authorization']}\r\n\r\n"
        await loop.sock_sendall(line, asked.encode())
        quiet = 0
        async with asyncio.timeout(20):
            assert await loop.sock_recv(line, 12) == b"HTTP/1.1 200"
            while quiet < 10:  # until nothing more is read for a client that takes nothing
                await asyncio.sleep(0.05)
                quiet = 0 if busy() else quiet + 1
        assert in_progress() > held
    async with asyncio.timeout(20):
        while in_progress() > held or busy():  # noqa: ASYNC110  # nothing tells of its end
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("books")
async def test_an_export_of_a_hundred_thousand_journals_starts_at_once(asha: Person, admin: Admin) -> None:
    """Timed, so among the slow ones: a busy machine says nothing about it."""
    url = await filled(asha, admin, 100_000)
    assert await soonest(asha, url, b"<?xml") < 0.1


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_an_export_holds_flat_memory(count: int, asha: Person, admin: Admin) -> None:
    url = await filled(asha, admin, count)
    with measured() as memory:
        found = size = 0
        async with asha.http.get(url, headers=asha.headers) as response:
            rest = b""
            async for piece in response.content.iter_any():
                found, size = found + (rest + piece).count(b"</VOUCHER>"), size + len(piece)
                rest = piece[-9:]
    assert found == count + 1
    assert size > 900 * count
    assert memory.peak < FLAT
