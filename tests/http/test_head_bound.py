"""How much of a head is kept while the rest of it is awaited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from voyagent.http.app import READ_SIZE
from voyagent.http.decode import LIMIT
from voyagent.http.head_bound import MAX_HEAD

if TYPE_CHECKING:
    from tests.http.conftest import Client

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def headers(size: int) -> bytes:
    """So many bytes of headers, none of them long."""
    lines = size // 1000
    return b"".join(b"X-Header-%03d: " % number + b"a" * 984 + b"\r\n" for number in range(lines))


@pytest.mark.parametrize("before", [b"", GET + b"\r\n", POST % 4 + b"body"], ids=["first", "second", "after a body"])
@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["unfinished", "whole"])
async def test_a_head_of_many_headers_is_refused_before_it_is_whole(client: Client, before: bytes, end: bytes) -> None:
    head, body = await client.raw(before + GET + headers(MAX_HEAD + 3 * READ_SIZE) + end)

    if before:
        answer, _, rest = body.partition(b"HTTP/1.0 ")
        assert json.loads(answer)
        head, _, body = (b"HTTP/1.0 " + rest).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 431")
    assert json.loads(body) == {"detail": "request_header_fields_too_large"}


async def test_what_is_counted_is_one_head_alone(client: Client) -> None:
    one = GET + headers(MAX_HEAD - 4_000)
    sent = b"".join([POST % LIMIT + b"a" * LIMIT, *[one + b"\r\n"] * 4, one + b"Connection: close\r\n\r\n"])
    head, body = await client.raw(sent)

    assert head.startswith(b"HTTP/1.1 405")
    assert body.count(b"HTTP/1.1 200") == 5
