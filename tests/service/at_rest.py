"""All that the service keeps, as somebody reads it who has got hold of its disks."""

from __future__ import annotations

import asyncpg
import redis.asyncio

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


async def rows(db: asyncpg.Connection) -> str:
    """Every row of every table, with bytes in hexadecimal."""
    whole = 'SELECT string_agg(t::text, chr(10)) FROM "{}" t'
    return "\n".join([await db.fetchval(whole.format(table["relname"])) or "" for table in await db.fetch(TABLES)])


async def values(redis_url: str) -> str:
    """Every key of Redis with its value."""
    client = redis.asyncio.from_url(redis_url)
    await client.config_set("rdbcompression", "no")  # it would cut a long text into pieces
    kept = b"".join([key + (await client.dump(key) or b"") async for key in client.scan_iter()])
    await client.config_set("rdbcompression", "yes")
    await client.aclose()
    return kept.decode("latin-1")


def is_in(dump: str, secret: str) -> bool:
    """Whether a text can be read in the rows, in bytes too."""
    return secret in dump or secret.encode().hex() in dump
