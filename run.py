#!/usr/bin/env python3
"""Run the Voyagent service and its operator commands.

serve (default), migrate, seed, openapi, doctor, audit verify, supplier set|list|remove.
"""

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
from pathlib import Path
from typing import Any

from voyagent.actors import credentials, doctor
from voyagent.actors.agent.rehearsed.server import KEY, Rehearsal
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import gc_policy, log
from voyagent.actors.foundation.config import ConfigurationError, Settings, variable
from voyagent.actors.foundation.config_doubts import doubts
from voyagent.actors.seed import Demo
from voyagent.actors.seed_work import SeedError
from voyagent.actors.signed_heads import HeadFile, NotSigned
from voyagent.http import demo, openapi
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service, until_ended
from voyagent.storage import audit_chain
from voyagent.storage.accounts import agencies
from voyagent.storage.embedded.servers import EmbeddedError, EmbeddedServers, InUse
from voyagent.storage.engine import fitness
from voyagent.storage.engine.pool import Engine
from voyagent.storage.migrations import migrate

FAILED, MISCONFIGURED = 1, 2
INTERRUPTED = 130
"""As a shell reports a process ended by SIGINT."""
OWNER_ONLY, OWNER_ONLY_BUT_TRAVERSABLE = 0o077, 0o066
"""umask. If root starts the service, embedded Postgres runs as another user, who must be able to reach its folder."""
STOP_SECONDS = 9.0
"""Added to the drain time before a hanging stop is forced: with the default of 20 s the process exits within 30 s."""

JSON = "-H 'Content-Type: application/json'"
PICK = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"{}\"])'"

LOOKS = (
    "/enquiries",
    "/chat/sessions",
    "/approvals?status=all",
    "/reports/receivables?from=2000-01-01&to=2100-01-01",
    "/reports/payables?from=2000-01-01&to=2100-01-01",
    "/reports/trial-balance",
    "/reports/usage",
    "/audit",
)
"""What the demo agency has to show."""

_log = log.get("run")

Command = Callable[[Settings], Coroutine[Any, Any, int]]


async def serve(settings: Settings) -> int:
    """Migrate, start everything, and serve until a signal. A second signal exits immediately."""
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
    """The service, started. OSError naming the setting if its port is in use."""
    service = Service(settings)
    try:
        await service.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        address = f"{settings.host}:{settings.port}"
        raise OSError(f"{variable('port')}: {address} is already in use") from error
    try:
        yield service
    finally:
        await service.stop()


async def upgrade(settings: Settings) -> int:
    """Migrate the database to the current schema, as the owner of the tables."""
    async with databases(settings, shared=True) as ready:
        if ready.owner_url is None:
            raise ConfigurationError(["VOYAGENT_DB_MIGRATE_URL: must be set, or VOYAGENT_DB_URL, or use --embedded"])
        await migrate.upgrade(ready.owner_url, ready.db_url)
    print("The database schema is up to date.")
    return 0


def seed(asked: argparse.Namespace) -> Command:
    """Create a demo agency with people and work, and print how to look at it. Nothing is changed if it exists."""

    async def make(settings: Settings) -> int:
        demo.check(settings, in_production=asked.in_production)
        log.configure(settings.env, "error")
        async with databases(settings, shared=True) as ready:
            await migrated(ready)
            made = await demo.make(ready, people_only=asked.people_only, created=introduce)
        if made is None:
            print("The demo agency exists already. Nothing was changed.")
            return 0
        if made.worked:
            admin = dict(made.people.people)[Role.AGENCY_ADMIN]
            look(f"http://{settings.host}:{settings.port or 8010}", admin, made.people.password)
        elif settings.production:
            print("The agency has people, but no work: in production nothing is booked for a demo.")
        elif not asked.people_only:
            print("The agency has people, but no work: another process serves this database, at an unknown port.")
        return 0

    return make


def introduce(people: Demo) -> None:
    """Print the people of the demo agency and their password, which nothing can show later."""
    for role, email in people.people:
        print(f"{role:16} {email}")
    print(f"{'password':16} {people.password}", flush=True)


def look(url: str, email: str, password: str) -> None:
    """Print how to sign in as the admin of the running service, and how to read its lists and reports."""
    print(f"\nIf the service is not running, start it with `make run`. It listens on {url}.")
    body = f'{{"email": "{email}", "password": "{password}"}}'
    print(f"TOKEN=$(curl -s {url}/auth/sign-in {JSON} -d '{body}' | {PICK.format('access_token')})")
    for path in LOOKS:
        print(f'curl -s "{url}{path}" -H "Authorization: Bearer $TOKEN"')


def describe() -> int:
    """Print the OpenAPI document. The only setting it depends on is the version."""
    version = os.environ.get(variable("version"), Settings.model_fields["version"].default)
    print(json.dumps(openapi.document(ROUTES, version), indent=2, ensure_ascii=False))
    return 0


async def examine(settings: Settings) -> int:
    """Check the installation and print how to fix what fails. Fails if the service could not serve."""
    async with databases(settings, shared=True) as ready:
        findings = await doctor.examine(ready)
    for finding in findings:
        print(f"{'ok ' if finding.works else 'NO ' if finding.vital else '-- '} {finding.part:14} {finding.text}")
        if not finding.works:
            print(f"{'':18} {finding.mend}")
    return FAILED if any(finding.vital and not finding.works for finding in findings) else 0


async def verify(settings: Settings) -> int:
    """Recompute every agency's audit chain, compare it with its signed head, and print the first broken row of each."""
    signed = HeadFile(settings.data_dir, settings.sealing_keys).read()
    async with databases(settings, shared=True) as ready:
        if ready.db_url is None:
            raise ConfigurationError(["VOYAGENT_DB_URL: must be set, or use --embedded"])
        async with fitness.signed_in(ready.db_url):
            engine = await Engine.open(ready.db_url, size=1, system_size=1)
        try:
            names = {agency.id: agency.name for agency in await engine.run(agencies.All())}
            names |= dict.fromkeys(signed.keys() - names.keys(), "(an agency that is not in the database)")
            checks = {each: audit_chain.Verify(tenant_id=each, signed=signed.get(each)) for each in names}
            verdicts = {each: await engine.run(check) for each, check in checks.items()}
        finally:
            await engine.close()
    for each, verdict in verdicts.items():
        result = "unbroken" if verdict.broken is None else f"BROKEN at row {verdict.broken.seq}"
        print(f"{each}  {verdict.checked:8} rows  {result}  {names[each]}")
    return 0 if all(verdict.ok for verdict in verdicts.values()) else FAILED


def set_supplier(asked: argparse.Namespace) -> Command:
    """Store an agency's token for a supplier, read from a file or standard input."""

    async def run(settings: Settings) -> int:
        token = credentials.read_token(asked.file)
        async with databases(settings, shared=True) as ready:
            rotated = await credentials.put(ready, asked.agency, asked.supplier, token)
        print(f"The token for {asked.supplier} is {'replaced' if rotated else 'stored'}.")
        return 0

    return run


def list_suppliers(asked: argparse.Namespace) -> Command:
    """Print for which suppliers an agency has tokens, since when, and which key sealed them."""

    async def run(settings: Settings) -> int:
        async with databases(settings, shared=True) as ready:
            kept = await credentials.listed(ready, asked.agency)
        for each in kept:
            print(f"{each.supplier:16} {(each.rotated_at or each.created_at):%Y-%m-%d %H:%M} UTC  key {each.key_id}")
        return 0

    return run


def remove_supplier(asked: argparse.Namespace) -> Command:
    """Delete an agency's token for a supplier."""

    async def run(settings: Settings) -> int:
        async with databases(settings, shared=True) as ready:
            removed = await credentials.remove(ready, asked.agency, asked.supplier)
        print(f"The token for {asked.supplier} is removed." if removed else "There was no such token.")
        return 0 if removed else FAILED

    return run


@asynccontextmanager
async def databases(settings: Settings, *, shared: bool = False) -> AsyncIterator[Settings]:
    """The settings with the URLs of embedded servers, if enabled. ``shared`` uses running ones if they are in use."""
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
    """Start the rehearsal model on loopback if embedded mode has no API key."""
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
    """Run pending migrations, and check that the database fits the configuration.

    If the database is unreachable the service starts without it and refuses requests until it answers. Raises
    ConfigurationError for a database that must not be served, with these keys or at all.
    """
    if settings.owner_url is None:
        return
    try:
        await migrate.upgrade(settings.owner_url, settings.db_url)
        faults = await fitness.faults(settings.db_url or settings.owner_url, settings.sealing_keys)
    except migrate.Unreachable as error:
        _log.warning("migrations_skipped", reason=str(error), mend="the next start runs them")
        return
    if faults:
        raise ConfigurationError([*faults, *kept_key(settings)])


def kept_key(settings: Settings) -> list[str]:
    """A hint at the key generated in development, if there is one."""
    path = settings.data_dir / "secrets" / "kms_key"
    return (
        [] if settings.production or not path.exists() else [f"The key generated in development is stored in {path}."]
    )


def doubted(settings: Settings) -> None:
    """Log settings that are valid but probably not intended."""
    for doubt in doubts(settings):
        _log.warning("configuration_doubtful", reason=doubt)


def on_signals(asked: asyncio.Event) -> None:
    """SIGTERM, SIGINT and SIGHUP request a stop; a second one exits immediately, children included."""

    def request_stop() -> None:
        if asked.is_set():
            os._exit(INTERRUPTED)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, request_stop)


def started(service: Service) -> None:
    """Report the address: a log event in production, else example commands on stdout."""
    settings = service.settings
    if settings.production:
        build = {"version": settings.version, "commit": settings.git_sha, "public_url": settings.public_url}
        _log.info("service_started", url=service.url, **build, suppliers=list(settings.suppliers))
    else:
        welcome(service.url)


def welcome(url: str) -> None:
    """Print the address and example commands: sign up, create a session, ask for a flight, approve it."""
    day = (datetime.now(UTC) + timedelta(days=90)).date()
    print(
        f"""Voyagent listens on {url}   (API reference: {url}/docs)

  TOKEN=$(curl -s {url}/auth/sign-up {JSON} -d '{{"email": "asha@example.com", "password": "a long password 1", \
"full_name": "Asha Rao", "agency_name": "Rao Travels"}}' | {PICK.format("access_token")})
  SESSION=$(curl -s -X POST {url}/chat/sessions -H "Authorization: Bearer $TOKEN" | {PICK.format("session_id")})
  curl -N {url}/chat/sessions/$SESSION/messages -H "Authorization: Bearer $TOKEN" {JSON} \
-d '{{"message": "Find me a flight from Mumbai to Dubai on {day} for Asha Rao and book it"}}'
  APPROVAL=$(curl -s {url}/approvals -H "Authorization: Bearer $TOKEN" | \
python3 -c 'import json, sys; print(json.load(sys.stdin)["items"][0]["id"])')
  curl -s {url}/approvals/$APPROVAL/resolve -H "Authorization: Bearer $TOKEN" {JSON} -d '{{"granted": true}}'

Signed up before: the first command with /auth/sign-in instead. A demo agency: .venv/bin/python run.py seed --embedded
""",
        flush=True,
    )


def arguments() -> argparse.Namespace:
    """Parse the command line; the default command is ``serve``."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--embedded",
        action="store_true",
        default=argparse.SUPPRESS,
        help="run Postgres and Redis as child processes, with data under VOYAGENT_DATA_DIR (./var)",
    )
    parser = argparse.ArgumentParser(description=__doc__, parents=[common])
    parser.set_defaults(command=serve)
    commands = parser.add_subparsers(title="commands", metavar="command")
    for name, command, text in (
        ("serve", serve, "serve until SIGTERM or SIGINT (default)"),
        ("migrate", upgrade, "migrate the database to the current schema"),
        ("openapi", None, "print the OpenAPI document"),
        ("doctor", examine, "check the installation and report how to fix it"),
    ):
        commands.add_parser(name, help=text, parents=[common]).set_defaults(command=command)
    seeds = commands.add_parser("seed", help="create a demo agency with people and work", parents=[common])
    seeds.add_argument("--in-production", action="store_true", help="create its people in production, too")
    seeds.add_argument("--people-only", action="store_true", help="create no enquiries, bookings and documents")
    seeds.set_defaults(make=seed)
    checks = commands.add_parser("audit", help="audit trail commands").add_subparsers(required=True, metavar="command")
    checks.add_parser(
        "verify", help="recompute and check the audit chain of every agency", parents=[common]
    ).set_defaults(command=verify)
    add_supplier_commands(commands.add_parser("supplier", help="agencies' tokens for suppliers"), common)
    return parser.parse_args()


def add_supplier_commands(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add the commands about an agency's tokens. No token is an argument: those are seen by every process."""
    kinds = parser.add_subparsers(required=True, metavar="command")
    for name, make, text in (
        ("set", set_supplier, "store a token, read from standard input"),
        ("list", list_suppliers, "list an agency's tokens without showing them"),
        ("remove", remove_supplier, "delete a token"),
    ):
        one = kinds.add_parser(name, help=text, parents=[common])
        one.add_argument("agency", help="the agency's id")
        if name != "list":
            one.add_argument("supplier", help="such as duffel")
        if name == "set":
            one.add_argument("--file", type=Path, help="read the token from this file instead")
        one.set_defaults(make=make)


def main() -> int:
    """Load the settings and run the command. Errors are printed on one line, without a traceback."""
    os.umask(OWNER_ONLY if os.geteuid() else OWNER_ONLY_BUT_TRAVERSABLE)
    asked = arguments()
    command: Command | None = asked.make(asked) if "make" in asked else asked.command
    if command is None:
        return describe()
    try:
        settings = Settings.load(embedded="embedded" in asked)
        log.configure(settings.env, settings.log_level)
        return asyncio.run(command(settings))
    except ConfigurationError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return MISCONFIGURED
    except Refusal as refusal:
        print(f"Error: {refusal.code}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (EmbeddedError, NotSigned, SeedError, OSError, *migrate.TROUBLES) as error:
        print(error, file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
