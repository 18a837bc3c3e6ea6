"""Operators' commands for the rotation of sealing keys: what needs which key, and sealing it again with the newest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..storage.engine import fitness, resealing, sealed_columns
from ..storage.engine.canary import counted
from ..storage.engine.resealing import SHOWN
from ..storage.engine.sealed_columns import Usage
from ..storage.engine.sealing import Sealing
from .foundation.config import ConfigurationError, Settings, variable
from .signed_heads import HeadFile

HEADS = "audit/heads.jsonl"
"""The file of the signed audit heads, among the columns that need a key."""
PAUSE_SECONDS = 1.0
"""Between two looks at what the service has left to sign."""

_UNKNOWN = (
    "{0}: no service has started with key {1!r} yet, so none could open what is sealed with it: restart the service "
    "first."
)


@dataclass(frozen=True, slots=True)
class Resealing:
    """What a run has done: values sealed again by column, the rows that cannot be opened, and what is left to do."""

    done: Mapping[str, int]
    not_opened: Mapping[str, Sequence[str]]
    left: Mapping[str, int]
    """What still needs an older key, by column; those that cannot be opened among them."""

    def told(self, ring: Sequence[str]) -> Iterator[str]:
        """It, in lines for operators."""
        for column, count in self.done.items():
            yield f"{column}: {count} sealed again"
        for column, rows in self.not_opened.items():
            more = "" if len(rows) <= SHOWN else f" and {len(rows) - SHOWN} more"
            yield f"{column}: {len(rows)} cannot be opened, although their key is here: {', '.join(rows[:SHOWN])}{more}"
        newest, *older = ring
        if self.left:
            yield f"Older keys are still needed by {counted(self.left)}."
        else:
            gone = f" Nothing needs {', '.join(older)} any more." if older else ""
            yield f"Everything is sealed with {newest}.{gone}"


_FREE = f"nothing: remove it from {variable('kms_key')}, and restart the service"


def listed(ring: Sequence[str], used: Usage) -> Iterator[str]:
    """Each sealing key, what it does and what needs it, in lines for operators; the missing ones last."""
    for kid in [*ring, *sorted(used.keys() - set(ring))]:
        role = "MISSING" if kid not in ring else "seals" if kid == ring[0] else "opens"
        free = "nothing yet" if kid == ring[0] else _FREE
        yield f"{kid:16} {role:8} {counted(used[kid]) if kid in used else free}"


async def usage(settings: Settings, url: str) -> Usage:
    """How many values need each key: of the database at ``url``, and of the signed audit heads."""
    found = {kid: dict(columns) for kid, columns in (await fitness.key_usage(url)).items()}
    for kid, lines in HeadFile(settings.data_dir, settings.sealing_keys).key_ids().items():
        found.setdefault(kid, {})[HEADS] = lines
    return found


async def require_known(settings: Settings, url: str) -> None:
    """Refuse to seal with a key that the running service may not have: ConfigurationError.

    It knows the keys it has started with. A database that was never served has none yet.
    """
    known, key_id = await fitness.key_ids(url), next(iter(settings.sealing_keys))
    if faults := await fitness.faults(url, settings.sealing_keys, as_owner=not settings.production):
        raise ConfigurationError(faults)
    if known and key_id not in known:
        raise ConfigurationError([_UNKNOWN.format(variable("kms_key"), key_id)])


async def reseal(settings: Settings, url: str, wait: float) -> Resealing:
    """Seal everything again that an older key has sealed, as the service does hourly; both may at the same time.

    Waits up to ``wait`` seconds for what is left to others: to the service to sign the audit heads, to a change under
    way to end.
    """
    if not settings.sealing_keys:
        raise ConfigurationError([f"{variable('kms_key')}: must be set"])
    await require_known(settings, url)
    loop, done = asyncio.get_running_loop(), dict[str, int]()
    ends, sealing = loop.time() + wait, Sealing(settings.sealing_keys)
    while True:
        not_opened: dict[str, Sequence[str]] = {}
        async with fitness.opened(url) as engine:
            for column in sealed_columns.COLUMNS:
                resealed = await resealing.reseal(engine.run, column.name, sealing)
                done[column.name] = done.get(column.name, 0) + resealed.done
                if resealed.not_opened:
                    not_opened[column.name] = resealed.not_opened
        left = sealed_columns.outdated(await usage(settings, url), sealing.ids[0])
        waiting = {name for name, count in left.items() if count > len(not_opened.get(name, ()))}
        if not waiting or loop.time() + PAUSE_SECONDS > ends:
            return Resealing({name: count for name, count in done.items() if count}, not_opened, left)
        await asyncio.sleep(PAUSE_SECONDS)
