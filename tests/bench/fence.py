"""What the fence costs the database: processor time of one connection's backend, with it and without."""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stand import Bench, report

from voyagent.actors.domain.placement import Lease
from voyagent.storage.conversation.fenced_events import INSERT, lease_columns
from voyagent.storage.conversation.steps import EventRow, columns
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect

ROUNDS, WRITES = 5, 400
ROWS, SHARDS = 5, 20
"""Events and shards of one group commit: 2,000 words a second make some 400 of them."""
COMMITS_A_SECOND, COMMANDS_A_SECOND = 400, 75
TICK = os.sysconf("SC_CLK_TCK")


async def fence(bench: Bench) -> None:
    """A group commit and a command, in turns fenced and not."""
    async with bench.service() as (_, agency):
        session = await agency.session()
        db = await connect(bench.servers.url, role=SYSTEM_ROLE)
        await db.execute("SET synchronous_commit = off")  # the disk is no part of it
        held = [Lease(*row) for row in await db.fetch("SELECT node, shard, epoch FROM shards ORDER BY shard")]
        own = held[0]
        seq = 0

        async def commit(leases: Sequence[Lease]) -> None:
            nonlocal seq
            now = datetime.now(UTC)
            rows = [
                EventRow(agency.tenant_id, session, seq + place, "t", "text_delta", "word", now)
                for place in range(1, ROWS + 1)
            ]
            seq += ROWS
            await db.execute(INSERT, *columns(rows), *lease_columns(leases))

        async def command(leases: Sequence[Lease]) -> None:
            taken = "".join(f", voyagent_fence({each.shard}, '{each.node}', {each.epoch})" for each in leases)
            await db.execute(f"BEGIN; SELECT pg_advisory_xact_lock(1){taken}")
            await db.execute("UPDATE sessions SET title = title WHERE id = $1", session)
            await db.execute("COMMIT")

        commit_us = await _cost(db, commit, held[:SHARDS])
        command_us = await _cost(db, command, [own])
        await db.close()
    share = (commit_us * COMMITS_A_SECOND + command_us * COMMANDS_A_SECOND) / 1e4
    report(
        "fence",
        group_commit_us=commit_us,
        command_us=command_us,
        percent_of_a_core=share,
        goal="below 5 % of a database core at 2,000 words a second",
    )


async def _cost(db: Connection, write: Callable[[Sequence[Lease]], Awaitable[Any]], leases: Sequence[Lease]) -> float:
    """Microseconds of the backend that the fence adds to one write; the median of the rounds."""
    await write(leases)
    await write([])
    return statistics.median([await _each(db, write, leases) - await _each(db, write, []) for _ in range(ROUNDS)])


async def _each(db: Connection, write: Callable[[Sequence[Lease]], Awaitable[Any]], leases: Sequence[Lease]) -> float:
    before = _processor(db)
    for _ in range(WRITES):
        await write(leases)
    return (_processor(db) - before) / WRITES * 1e6


def _processor(db: Connection) -> float:
    """Seconds of processor of the connection's backend so far."""
    fields = Path(f"/proc/{db.get_server_pid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
