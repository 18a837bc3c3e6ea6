"""``make evaluate``: plays the office days with the configured model; prints each miss, the tokens and the cost.

``python -m tests.evaluation.run flight_booked hotel_booked`` plays only the days that are named. The model
is that of the variables in ``TAKEN_OVER``, from the environment or ``.env``; without a key it is the rehearsal model,
whose misses must then be exactly those the days name.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
from dotenv import dotenv_values

from tests.evaluation.days import Day, load
from tests.evaluation.office import Result, Unexpected, office
from voyagent.actors.agent.rehearsed.server import KEY, Rehearsal
from voyagent.actors.foundation import log
from voyagent.actors.foundation.config import Settings
from voyagent.storage.embedded.servers import SUPERUSER, EmbeddedServers
from voyagent.storage.migrations import migrate

TAKEN_OVER = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "VOYAGENT_AGENT_MODEL",
    "VOYAGENT_AGENT_MODELS",
    "VOYAGENT_AGENT_MAX_TOKENS",
    "VOYAGENT_AGENT_MAX_ROUNDS",
    "VOYAGENT_MODEL_PRICES",
)
"""What is evaluated; nothing else of the installation is read, its databases and suppliers least of all."""


def settings_of(environ: Mapping[str, str], *, db_url: str, redis_url: str, data_dir: str) -> Settings:
    """Settings of a service on servers of its own, with the model of ``environ`` and the embedded inventory."""
    model = {name: value for name in TAKEN_OVER if (value := environ.get(name))}
    return Settings.load(
        environ={
            **model,
            "VOYAGENT_ENV": "development",
            "VOYAGENT_PORT": "0",
            "VOYAGENT_DB_URL": db_url,
            "VOYAGENT_REDIS_URL": redis_url,
            "VOYAGENT_DATA_DIR": data_dir,
            "VOYAGENT_GUARD": "off",
            "VOYAGENT_AUTH_SKIP_EMAIL_VERIFICATION": "true",
            "VOYAGENT_AUTH_ARGON2_MEMORY_COST": "8192",
            "VOYAGENT_AUTH_ARGON2_TIME_COST": "1",
            "VOYAGENT_SUPPLIERS": "house",
            "VOYAGENT_DRAIN_SECONDS": "0",
        }
    )


async def evaluate(names: Sequence[str]) -> int:
    """Play the days one after the other; the number of those that did not end as they must."""
    environ = {name: value for name, value in dotenv_values(".env").items() if value} | dict(os.environ)
    rehearsal = None if environ.get("ANTHROPIC_API_KEY") else Rehearsal()
    if rehearsal is not None:
        environ |= {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": await rehearsal.start()}
    try:
        with tempfile.TemporaryDirectory(prefix="voyagent-evaluation-") as folder:
            Path(folder).chmod(0o711)  # Postgres of a root runs as another user, who must get there
            async with EmbeddedServers(Path(folder), fast=True) as servers:
                await migrate.upgrade(servers.url)
                urls = {"db_url": servers.url, "redis_url": servers.redis_url}
                settings = settings_of(environ, **urls, data_dir=folder)
                log.configure(settings.env, "error")
                print(f"model {settings.agent_model}{' (rehearsal)' if rehearsal else ''}\n", flush=True)
                return await _play(chosen(names), settings, admin_url(servers), rehearsed=rehearsal is not None)
    finally:
        if rehearsal is not None:
            await rehearsal.stop()


def admin_url(servers: EmbeddedServers) -> str:
    """The superuser's URL of the service's database."""
    return servers.postgres.url(SUPERUSER)


def chosen(names: Sequence[str]) -> list[Day]:
    """The days of these names, all if there are none."""
    days = load(datetime.now(UTC).date())
    if unknown := set(names) - {day.name for day in days}:
        raise SystemExit(f"no such day: {', '.join(sorted(unknown))}")
    return [day for day in days if not names or day.name in names]


async def _play(days: Sequence[Day], settings: Settings, admin: str, *, rehearsed: bool) -> int:
    results, wrong = [], 0
    async with office(settings, admin) as running:
        for day in days:
            try:
                result = await running.play(day)
            except (Unexpected, OSError, TimeoutError, asyncpg.PostgresError) as error:
                print(f"FAIL  {day.name}\n      {type(error).__name__}: {error}", flush=True)
                wrong += 1
                continue
            results.append(result)
            expected = set(day.rehearsal_misses) if rehearsed else set()
            wrong += result.missed != expected
            print("\n".join(lines(result, expected)), flush=True)
    print("\n".join(summary(results, len(days), wrong)))
    return wrong


def lines(result: Result, expected: set[str]) -> list[str]:
    """What is printed of one day: its figures, then each miss with its reason."""
    usage = result.usage
    mark = "pass" if not result.missed else "miss"
    mark = mark if result.missed == expected else "FAIL"
    figures = f"{usage['calls']:3} calls {tokens(usage):7,} tokens  {cost(usage)}  {result.seconds:5.1f} s"
    told = [f"{mark}  {result.day.name:32} {figures}"]
    told += [
        f"      {miss.rule}: {miss.reason}{' (known of the rehearsal)' if miss.rule in expected else ''}"
        for miss in result.misses
    ]
    told += [f"      {rule}: was to be missed, and was not" for rule in sorted(expected - result.missed)]
    return told


def summary(results: Sequence[Result], played: int, wrong: int) -> list[str]:
    """The pass rate, tokens and cost of all days."""
    passed = sum(not result.missed for result in results)
    usage = {key: sum(result.usage[key] for result in results) for key in COUNTS}
    usage["cost_usd"] = sum((Decimal(result.usage["cost_usd"]) for result in results), Decimal(0))
    told = [f"\n{passed} of {played} days pass ({passed / played:.0%}), {tokens(usage):,} tokens, {cost(usage)}"]
    known = len(results) - passed
    return told if not known else [*told, f"{known} with misses; {wrong} ended otherwise than they must"]


COUNTS = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "unpriced_calls")


def tokens(usage: Mapping[str, int]) -> int:
    """All tokens, cached ones included."""
    return sum(usage[name] for name in COUNTS if name.endswith("_tokens"))


def cost(usage: Mapping[str, object]) -> str:
    """US dollars, or that the price is not known."""
    return "price unknown" if usage["unpriced_calls"] else f"${Decimal(str(usage['cost_usd'])):.4f}"


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(evaluate(sys.argv[1:])) else 0)
