"""Duffel's HTTP API: headers, bounds, and answers as JSON or as errors of ours.

No method repeats a request; what may be repeated is the supplier actor's decision. Nothing logged contains a token, a
body or a query.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NoReturn

import aiohttp

from ...foundation import log
from ...foundation.clock import Clock
from ..protocols import SupplierError
from .failures import DuffelError, failure

VERSION = "v2"
ANSWER_BYTES = 16 * 1024 * 1024
"""The longest answer that is read: 200 offers of eight segments take some 4 MiB."""
ERROR_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
CONNECTIONS = 16

Token = Callable[[], Awaitable[str]]
Query = Mapping[str, str]

_log = log.get(__name__)


class Api:
    """Requests with the agency's token. The token is asked for each time, so that a new one is used at once."""

    def __init__(self, base_url: str, token: Token, clock: Clock) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """Read; the whole answer, an object with ``data``."""
        return await self._request("GET", path, query, None, writes=False)

    async def ask(self, path: str, data: Mapping[str, Any], query: Query | None = None) -> dict[str, Any]:
        """Post what orders and pays nothing, such as a search."""
        return await self._request("POST", path, query, data, writes=False)

    async def write(self, path: str, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post what has an effect. An error is ``unclear`` if it may have had it nevertheless."""
        return await self._request("POST", path, None, data, writes=True)

    async def patch(self, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Change what may be changed again."""
        return await self._request("PATCH", path, None, data, writes=False)

    async def _request(
        self, method: str, path: str, query: Query | None, data: Mapping[str, Any] | None, *, writes: bool
    ) -> dict[str, Any]:
        token = await self._token()
        headers = {"Authorization": f"Bearer {token}"}
        body = None
        if data is not None:
            body = json.dumps({"data": data}, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        try:
            async with self._opened().request(
                method, self._base_url + path, params=query, data=body, headers=headers, allow_redirects=False
            ) as response:
                return await self._answer(response, path, writes=writes)
        except aiohttp.ClientConnectorError as unreachable:
            raise DuffelError("transient", "the supplier cannot be reached", sent=False) from unreachable
        except aiohttp.ConnectionTimeoutError as late:
            raise DuffelError("transient", "the supplier cannot be reached", sent=False) from late
        except (aiohttp.ClientError, OSError) as cut:
            raise DuffelError("transient", "the connection to the supplier broke", unclear=writes) from cut

    async def _answer(self, response: aiohttp.ClientResponse, path: str, *, writes: bool) -> dict[str, Any]:
        status = response.status
        good = status in (HTTPStatus.OK, HTTPStatus.CREATED)
        if status == HTTPStatus.NO_CONTENT:
            return {"data": {}}
        raw = await _read(response, ANSWER_BYTES if good else ERROR_BYTES)
        body = None if raw is None else _parsed(raw)
        if good and isinstance(body, dict) and "data" in body:
            return body
        if good:
            error = DuffelError("transient", "the supplier's answer cannot be read", unclear=writes, repeatable=False)
        else:
            error = failure(status, body, response.headers, self._clock.now(), writes=writes)
        _log.warning(
            "duffel_request_failed",
            route=_route(path),
            status=status,
            code=error.supplier_code,
            vendor_code=error.vendor_code,
            request_id=response.headers.get("x-request-id"),
        )
        raise error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers={
                    "Duffel-Version": VERSION,
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                    "User-Agent": "Voyagent",
                },
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The body, decompressed; None if it is longer than ``most``."""
    parts, length = [], 0
    async for part in response.content.iter_chunked(65_536):
        length += len(part)
        if length > most:
            response.close()
            return None
        parts.append(part)
    return b"".join(parts)


def _parsed(raw: bytes) -> Any:
    """The JSON of a body, amounts exact; None if it is none."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _route(path: str) -> str:
    """The path without ids."""
    return "/".join("{id}" if "_" in part and part.partition("_")[0] in _IDS else part for part in path.split("/"))


_IDS = frozenset({"off", "ord", "ore", "orq", "pay"})


def not_sent(error: SupplierError) -> SupplierError:
    """The same error of a request before the write itself, which has not been sent."""
    error.sent, error.unclear = False, False
    return error
