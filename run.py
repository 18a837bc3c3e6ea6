#!/usr/bin/env python3
"""The service and what its operators need: serve (the default), migrate, seed, openapi, doctor, audit verify."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from voyagent.actors import doctor
from voyagent.actors.agent.rehearsed.server import KEY, Rehearsal
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.foundation import gc_policy, log
from voyagent.actors.foundation.config import ConfigurationError, Settings, variable
from voyagent.actors.foundation.config_doubts import doubts
from voyagent.actors.seed import seed
from voyagent.http import openapi
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service, until_ended
from voyagent.storage import audit
from voyagent.storage.accounts import agencies
from voyagent.storage.embedded.servers import EmbeddedError, EmbeddedServers, InUse
from voyagent.storage.engine import fitness
from voyagent.storage.engine.pool import Engine
from voyagent.storage.migrations import migrate

FAILED, MISCONFIGURED = 1, 2
NOBODY_ELSE, NOBODY_ELSE_BUT_PASSING = 0o077, 0o066
"""Masks of what we make. Started by root, the embedded Postgres is another user, who must come by to its own folder."""
STOP_SECONDS = 9.0
"""Beyond the turns' grace: with the default of 20 s a stop that hangs ends within 30 s all the same."""

JSON = "-H 'Content-Type: application/json'"
PICK = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"{}\"])'"

_log = log.get("run")

Command = Callable[[Settings], Coroutine[Any, Any, int]]


async def serve(settings: Settings) -> int:
    """Migrate, start everything, and serve until a signal. A second signal ends the process where it stands."""
    asked = asyncio.Event()
    on_signals(asked)
    async with AsyncExitStack() as parts:
        settings = await parts.enter_async_context(databases(settings))
        settings = await parts.enter_async_context(model(settings))
        await migrated(settings)
        doubted(settings)
        service = await parts.enter_async_context(listening(settings))
        gc_policy.freeze()
        started(service)
        on_purpose = await until_ended(service, asked)
        _log.info("service_stopping", on_purpose=on_purpose, drain_seconds=settings.drain_seconds)
        asyncio.get_running_loop().call_later(settings.drain_seconds + STOP_SECONDS, os._exit, FAILED)
        await service.stop(settings.drain_seconds if on_purpose else 0.0)
    _log.info("service_stopped")
    return 0 if on_purpose else FAILED


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Service]:
    """The service, started. OSError in our words if somebody else has its place."""
    service = Service(settings)
    try:
        await service.start()
    except OSError as taken:
        if taken.errno != errno.EADDRINUSE:
            raise
        where = f"{settings.host}:{settings.port}"
        raise OSError(f"{variable('port')}: something listens on {where} already") from taken
    try:
        yield service
    finally:
        await service.stop()


async def upgrade(settings: Settings) -> int:
    """Bring the database to the present tables, as their owner."""
    async with databases(settings, shared=True) as ready:
        if ready.owner_url is None:
            raise ConfigurationError(["VOYAGENT_DB_MIGRATE_URL: must be set, or VOYAGENT_DB_URL, or use --embedded"])
        await migrate.upgrade(ready.owner_url, ready.db_url)
    print("The tables are up to date.")
    return 0


async def demo(settings: Settings) -> int:
    """Found a demo agency and show who may come in."""
    async with databases(settings, shared=True) as ready:
        await migrated(ready)
        founded = await seed(ready)
    for role, email in founded.people:
        print(f"{role:16} {email}")
    print(f"{'password':16} {founded.password}")
    return 0


def describe() -> int:
    """Print the OpenAPI document, which no setting changes but the version."""
    version = os.environ.get(variable("version"), Settings.model_fields["version"].default)
    print(json.dumps(openapi.document(ROUTES, version), indent=2, ensure_ascii=False))
    return 0


async def examine(settings: Settings) -> int:
    """Say what works and how to mend the rest; fails if the service could not serve."""
    async with databases(settings, shared=True) as ready:
        findings = await doctor.examine(ready)
    for found in findings:
        print(f"{'ok ' if found.works else 'NO ' if found.vital else '-- '} {found.part:14} {found.text}")
        if not found.works:
            print(f"{'':18} {found.mend}")
    return FAILED if any(found.vital and not found.works for found in findings) else 0


async def verify(settings: Settings) -> int:
    """Compute every agency's audit chain anew; names the first broken row of each."""
    async with databases(settings, shared=True) as ready:
        if ready.db_url is None:
            raise ConfigurationError(["VOYAGENT_DB_URL: must be set, or use --embedded"])
        async with fitness.signed_in(ready.db_url):
            engine = await Engine.open(ready.db_url, size=1, system_size=1)
        try:
            known = await engine.run(agencies.All())
            verdicts = [(agency, await engine.run(audit.Verify(tenant_id=agency.id))) for agency in known]
        finally:
            await engine.close()
    for agency, verdict in verdicts:
        told = "unbroken" if verdict.ok else f"BROKEN at row {verdict.broken_at}"
        print(f"{agency.id}  {verdict.checked:8} rows  {told}  {agency.name}")
    return 0 if all(verdict.ok for _, verdict in verdicts) else FAILED


@asynccontextmanager
async def databases(settings: Settings, *, shared: bool = False) -> AsyncIterator[Settings]:
    """The settings with the URLs of embedded servers, if asked for; ``shared`` is content with those that run."""
    if not settings.embedded:
        yield settings
        return
    servers = EmbeddedServers(settings.data_dir)
    urls = {"db_url": servers.url, "redis_url": servers.redis_url}
    try:
        await servers.start()
    except InUse:
        if not shared:
            raise
    try:
        yield settings.model_copy(update=urls)
    finally:
        await servers.stop()


@asynccontextmanager
async def model(settings: Settings) -> AsyncIterator[Settings]:
    """Without a key embedded mode plays a rehearsal on loopback."""
    if not settings.embedded or settings.anthropic_api_key is not None:
        yield settings
        return
    rehearsal = Rehearsal()
    url = await rehearsal.start()
    try:
        yield settings.model_copy(update={"anthropic_base_url": url, "anthropic_api_key": KEY})
    finally:
        await rehearsal.stop()


async def migrated(settings: Settings) -> None:
    """Run what migrations are due, and hold the database against the configuration.

    One that does not answer is served without: requests are refused until it does. Raises ConfigurationError for one
    that is not to be served from, with these keys or at all.
    """
    if settings.owner_url is None:
        return
    try:
        await migrate.upgrade(settings.owner_url, settings.db_url)
        faults = await fitness.faults(settings.db_url or settings.owner_url, settings.sealing_keys)
    except migrate.Unreachable as away:
        _log.warning("not_migrated", reason=str(away), mend="the next start migrates")
        return
    if faults:
        raise ConfigurationError([*faults, *kept_key(settings)])


def kept_key(settings: Settings) -> list[str]:
    """Where the key is that was made here, for who looks for it."""
    path = settings.data_dir / "secrets" / "kms_key"
    return [] if settings.production or not path.exists() else [f"The key made in development is kept in {path}."]


def doubted(settings: Settings) -> None:
    """Say what the configuration says and hardly means."""
    for doubt in doubts(settings):
        _log.warning("configuration_doubtful", reason=doubt)


def on_signals(asked: asyncio.Event) -> None:
    """SIGTERM, Ctrl-C and a hang-up ask for a stop; the second time process and children end at once."""

    def heard() -> None:
        if asked.is_set():
            os._exit(130)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, heard)


def started(service: Service) -> None:
    """Say that it listens and where: one line among the others in production, else what to try first."""
    settings = service.settings
    if settings.production:
        known = {"version": settings.version, "commit": settings.git_sha, "public_url": settings.public_url}
        _log.info("service_started", url=service.url, **known, suppliers=list(settings.suppliers))
    else:
        welcome(service.url)


def welcome(url: str) -> None:
    """Say where to find it and what to try first: come in, open a session, have a flight booked."""
    day = (datetime.now(UTC) + timedelta(days=90)).date()
    print(
        f"""Voyagent listens on {url}   (operations: {url}/docs)

  TOKEN=$(curl -s {url}/auth/sign-up {JSON} -d '{{"email": "asha@example.com", "password": "a long password 1", \
"full_name": "Asha Rao", "agency_name": "Rao Travels"}}' | {PICK.format("access_token")})
  SESSION=$(curl -s -X POST {url}/chat/sessions -H "Authorization: Bearer $TOKEN" | {PICK.format("session_id")})
  curl -N {url}/chat/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" {JSON} \
-d '{{"message": "Find me a flight from Mumbai to Dubai on {day} and book it"}}'
""",
        flush=True,
    )


def arguments() -> argparse.Namespace:
    """What the command line says; without a command it is ``serve``."""
    ours = argparse.ArgumentParser(add_help=False)
    ours.add_argument(
        "--embedded",
        action="store_true",
        default=argparse.SUPPRESS,
        help="Postgres and Redis as children of this process, data under VOYAGENT_DATA_DIR (./var)",
    )
    parser = argparse.ArgumentParser(description=__doc__, parents=[ours])
    parser.set_defaults(command=serve)
    commands = parser.add_subparsers(title="commands", metavar="command")
    for name, command, text in (
        ("serve", serve, "serve until a signal (the default)"),
        ("migrate", upgrade, "bring the database to the present tables"),
        ("seed", demo, "found a demo agency"),
        ("openapi", None, "print the OpenAPI document"),
        ("doctor", examine, "say what works, what does not, and how to mend it"),
    ):
        commands.add_parser(name, help=text, parents=[ours]).set_defaults(command=command)
    checks = commands.add_parser("audit", help="check the audit chains").add_subparsers(
        required=True, metavar="command"
    )
    checks.add_parser("verify", help="compute every chain anew", parents=[ours]).set_defaults(command=verify)
    return parser.parse_args()


def main() -> int:
    """Read the settings and run the command; what is wrong is said in a line, without a traceback."""
    os.umask(NOBODY_ELSE if os.geteuid() else NOBODY_ELSE_BUT_PASSING)
    asked = arguments()
    command: Command | None = asked.command
    if command is None:
        return describe()
    try:
        settings = Settings.load(embedded="embedded" in asked)
        log.configure(settings.env, settings.log_level)
        return asyncio.run(command(settings))
    except ConfigurationError as wrong:
        print(*wrong.problems, sep="\n", file=sys.stderr)
        return MISCONFIGURED
    except Refusal as refused:
        print(f"Refused: {refused.code}", file=sys.stderr)
    except (EmbeddedError, OSError, *migrate.TROUBLES) as wrong:
        print(wrong, file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
