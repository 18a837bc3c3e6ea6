#!/usr/bin/env python3
"""Run the Voyagent service and its operator commands: ``run.py --help``."""

from __future__ import annotations

import asyncio
import errno
import faulthandler
import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from voyagent.actors import credentials, doctor, sealing_keys
from voyagent.actors.agent.rehearsed.server import KEY, Rehearsal
from voyagent.actors.domain.errors import Refusal, Unavailable
from voyagent.actors.domain.identity import Role
from voyagent.actors.foundation import command_line, gc_policy, log
from voyagent.actors.foundation.command_line import DONE, FAILED, FOUND, INTERRUPTED, MISCONFIGURED, UNAVAILABLE
from voyagent.actors.foundation.config import ConfigurationError, Settings, database_url, variable
from voyagent.actors.foundation.config_doubts import doubts
from voyagent.actors.foundation.service_manager import ServiceManager
from voyagent.actors.seed import Demo
from voyagent.actors.seed_work import SeedError
from voyagent.actors.signed_heads import HeadFile, NotSigned
from voyagent.http import demo, first_steps, openapi
from voyagent.http.routes import ROUTES
from voyagent.http.service import Service, until_ended
from voyagent.storage import audit_chain
from voyagent.storage.accounts import agencies
from voyagent.storage.embedded.servers import EmbeddedError, EmbeddedServers, InUse
from voyagent.storage.engine import fitness
from voyagent.storage.migrations import migrate

OWNER_ONLY, OWNER_ONLY_BUT_TRAVERSABLE = 0o077, 0o066
"""umask. If root starts the service, embedded Postgres runs as another user, who must be able to reach its folder."""
PAUSE_SECONDS = 1.0
"""Between two attempts to reach a database that starts."""
STOP_SECONDS = 9.0
"""Added to the drain time before a hanging stop is forced: with the default of 20 s the process exits within 30 s."""

_log = log.get("run")

Command = Callable[[Settings, Namespace], Coroutine[Any, Any, int]]


async def serve(settings: Settings, _words: Namespace) -> int:
    """Start everything, and serve until a signal. A second signal exits immediately."""
    asked, manager = asyncio.Event(), ServiceManager(os.environ)
    on_signals(asked)
    faulthandler.enable()  # a watchdog ends what hangs by SIGABRT: the log then says where
    async with AsyncExitStack() as parts:
        settings = await parts.enter_async_context(databases(settings))
        settings = await parts.enter_async_context(model(settings))
        await ready_tables(settings)
        doubted(settings)
        service = await parts.enter_async_context(listening(settings))
        gc_policy.freeze()
        parts.enter_context(watched(service, manager))
        started(service)
        manager.ready(f"Listening on {service.url}")
        on_purpose = await until_ended(service, asked)
        drain = settings.drain_seconds if on_purpose else 0.0
        _log.info("service_stopping", on_purpose=on_purpose, drain_seconds=drain)
        manager.stopping(drain + STOP_SECONDS)
        asyncio.get_running_loop().call_later(drain + STOP_SECONDS, os._exit, FAILED)
        await service.stop(drain)
    _log.info("service_stopped")
    return DONE if on_purpose else FAILED


@contextmanager
def watched(service: Service, manager: ServiceManager) -> Iterator[None]:
    """Report to the manager's watchdog, if it has one, from the event loop that serves."""
    if manager.alive_every is None:
        yield
        return
    task = service.system.tasks.task("watchdog", manager.alive, every=manager.alive_every)
    reporting = asyncio.create_task(task.run())
    try:
        yield
    finally:
        reporting.cancel()


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


async def upgrade(settings: Settings, words: Namespace) -> int:
    """Migrate the database to the current schema, as the owner of the tables; or say whether that is due."""
    async with databases(settings, shared=True) as ready:
        if ready.owner_url is None:
            raise ConfigurationError(["VOYAGENT_DB_MIGRATE_URL: must be set, or VOYAGENT_DB_URL, or use --embedded"])
        if words.check:
            due = await migrate.is_due(ready.owner_url)
            print("A migration is due." if due else "The database schema is up to date.")
            return FOUND if due else DONE
        await patiently(words.wait, lambda: migrate.upgrade(str(ready.owner_url), ready.db_url))
    print("The database schema is up to date.")
    return DONE


async def patiently(seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do ``work``, again every second while the database does not answer, for so long."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while True:
        try:
            return await work()
        except migrate.Unreachable:
            if loop.time() + PAUSE_SECONDS > ends:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def seed(settings: Settings, words: Namespace) -> int:
    """Create a demo agency with people and work, and print how to look at it. Nothing is changed if it exists."""
    demo.check(settings, in_production=words.in_production)
    log.configure(settings.env, "error")
    async with databases(settings, shared=True) as ready:
        await ready_tables(ready)
        made = await demo.make(ready, people_only=words.people_only, created=introduce)
    if made is None:
        print("The demo agency exists already. Nothing was changed.")
        return DONE
    if made.trip is not None:
        admin, url = dict(made.people.people)[Role.AGENCY_ADMIN], f"http://{settings.host}:{settings.port or 8010}"
        print(first_steps.look(url, admin, made.people.password, made.trip))
    elif settings.production:
        print("The agency has people, but no work: in production nothing is booked for a demo.")
    elif not words.people_only:
        print("The agency has people, but no work: another process serves this database, at an unknown port.")
    return DONE


def introduce(people: Demo) -> None:
    """Print the people of the demo agency and their password, which nothing can show later."""
    for role, email in people.people:
        print(f"{role:16} {email}")
    print(f"{'password':16} {people.password}", flush=True)


def describe() -> int:
    """Print the OpenAPI document. The only setting it depends on is the version."""
    version = os.environ.get(variable("version"), Settings.model_fields["version"].default)
    print(json.dumps(openapi.document(ROUTES, version), indent=2, ensure_ascii=False))
    return 0


async def examine(settings: Settings, _words: Namespace) -> int:
    """Check the installation and print how to fix what fails. Fails if the service could not serve."""
    async with databases(settings, shared=True) as ready:
        findings = await doctor.examine(ready)
    for finding in findings:
        print(f"{'ok ' if finding.works else 'NO ' if finding.vital else '-- '} {finding.part:14} {finding.text}")
        if not finding.works:
            print(f"{'':18} {finding.mend}")
    return FOUND if any(finding.vital and not finding.works for finding in findings) else DONE


async def verify(settings: Settings, _words: Namespace) -> int:
    """Recompute every agency's audit chain, compare it with its signed head, and print the first broken row of each."""
    signed = HeadFile(settings.data_dir, settings.sealing_keys).read()
    async with databases(settings, shared=True) as ready, fitness.opened(database_url(ready)) as engine:
        names = {agency.id: agency.name for agency in await engine.run(agencies.All())}
        names |= dict.fromkeys(signed.keys() - names.keys(), "(an agency that is not in the database)")
        checks = {each: audit_chain.Verify(tenant_id=each, signed=signed.get(each)) for each in names}
        verdicts = {each: await engine.run(check) for each, check in checks.items()}
    for each, verdict in verdicts.items():
        result = "unbroken" if verdict.broken is None else f"BROKEN at row {verdict.broken.seq}"
        print(f"{each}  {verdict.checked:8} rows  {result}  {names[each]}")
    return DONE if all(verdict.ok for verdict in verdicts.values()) else FOUND


async def set_supplier(settings: Settings, words: Namespace) -> int:
    """Store an agency's token for a supplier, read from a file or standard input."""
    token = credentials.read_token(words.file)
    async with databases(settings, shared=True) as ready:
        rotated = await credentials.put(ready, words.agency, words.supplier, token)
    print(f"The token for {words.supplier} is {'replaced' if rotated else 'stored'}.")
    return DONE


async def list_suppliers(settings: Settings, words: Namespace) -> int:
    """Print for which suppliers an agency has tokens, since when, and which key sealed them."""
    async with databases(settings, shared=True) as ready:
        kept = await credentials.listed(ready, words.agency)
    for each in kept:
        print(f"{each.supplier:16} {(each.rotated_at or each.created_at):%Y-%m-%d %H:%M} UTC  key {each.key_id}")
    return DONE


async def remove_supplier(settings: Settings, words: Namespace) -> int:
    """Delete an agency's token for a supplier."""
    async with databases(settings, shared=True) as ready:
        removed = await credentials.remove(ready, words.agency, words.supplier)
    print(f"The token for {words.supplier} is removed." if removed else "There was no such token.")
    return DONE if removed else FAILED


async def list_keys(settings: Settings, _words: Namespace) -> int:
    """Print each sealing key, what it does and what needs it. Fails while an older one is needed or one is missing."""
    async with databases(settings, shared=True) as ready:
        usage = await sealing_keys.usage(ready, database_url(ready))
    ring = list(settings.sealing_keys)
    print(*sealing_keys.listed(ring, usage), sep="\n")
    return FOUND if usage.keys() - set(ring[:1]) else DONE


async def reseal(settings: Settings, words: Namespace) -> int:
    """Seal everything again that an older key has sealed, and print what was done and what is left."""
    async with databases(settings, shared=True) as ready:
        result = await sealing_keys.reseal(ready, database_url(ready), words.wait)
    print(*result.told(list(settings.sealing_keys)), sep="\n")
    return FOUND if result.left else DONE


COMMANDS: dict[str, Command] = {
    "serve": serve,
    "migrate": upgrade,
    "doctor": examine,
    "seed": seed,
    "audit verify": verify,
    "keys list": list_keys,
    "keys reseal": reseal,
    "supplier set": set_supplier,
    "supplier list": list_suppliers,
    "supplier remove": remove_supplier,
}
"""All that need settings, by their names on the command line."""


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


async def ready_tables(settings: Settings) -> None:
    """Check that the database fits the configuration; in development, after running pending migrations.

    If the database is unreachable the service starts without it and refuses requests until it answers. Raises
    ConfigurationError for a database that must not be served, with these keys or at all.
    """
    url = settings.db_url or settings.owner_url
    if url is None:
        return
    faults = HeadFile(settings.data_dir, settings.sealing_keys).faults()
    try:
        if not settings.production:
            await migrate.upgrade(settings.owner_url or url, settings.db_url)
        faults += await fitness.faults(url, settings.sealing_keys, as_owner=not settings.production)
    except migrate.Unreachable as error:
        _log.warning("database_unchecked", reason=str(error), mend="requests are refused until it answers")
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
        print(first_steps.welcome(service.url), flush=True)


def main() -> int:
    """Run the command of the command line. Errors are printed on one line, without a traceback."""
    os.umask(OWNER_ONLY if os.geteuid() else OWNER_ONLY_BUT_TRAVERSABLE)
    words = command_line.parse()
    try:
        status = carry_out(words)
        sys.stdout.flush()
    except ConfigurationError as error:
        return told(MISCONFIGURED, *error.problems)
    except Unavailable as refusal:
        return told(UNAVAILABLE, f"The database does not answer, or not as it should ({refusal.code}): see doctor.")
    except Refusal as refusal:
        return told(FAILED, f"Error: {refusal.code}")
    except KeyboardInterrupt:
        return told(INTERRUPTED, "Interrupted.")
    except migrate.Unreachable as error:
        return told(UNAVAILABLE, error)
    except NotSigned as error:
        return told(FOUND, error)
    except BrokenPipeError:  # whoever read the output has enough of it, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (EmbeddedError, SeedError, OSError, *migrate.TROUBLES) as error:
        return told(FAILED, error)
    return status


def carry_out(words: Namespace) -> int:
    """Load the settings and run the command."""
    if words.command == "openapi":
        return describe()
    settings = Settings.load(embedded="embedded" in words, migrating=words.command == "migrate")
    log.configure(settings.env, settings.log_level)
    return asyncio.run(COMMANDS[words.command](settings, words))


def told(status: int, *lines: object) -> int:
    """The status, after its reason on standard error."""
    print(*lines, sep="\n", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
