"""The shape of every storage operation: a frozen message that knows how to run on one connection.

An operation with a ``tenant_id`` is run on a connection that serves that tenant alone (row-level security holds it
there); one with ``None`` is system work and runs as role ``voyagent_system``. A ``Query`` is a single statement in
autocommit, a ``Write`` one that writes; a ``Snapshot`` several reads in one REPEATABLE READ transaction; a ``Command``
one READ COMMITTED one.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ...actors.runtime.actor import Message

if TYPE_CHECKING:
    from .connection import Connection

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Message[R]):
    """One named storage operation and its reply type."""

    tenant_id: str | None

    @property
    def fence(self) -> int | None:
        """An advisory lock held while it runs: it waits for all that hold it, lost COMMITs included.

        A fenced operation is neither begun nor retried once its ask has timed out.
        """
        return None

    @abstractmethod
    async def run(self, db: Connection) -> R:
        """Execute it on ``db``. Refusals are raised; constraint names are translated by the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Operation[R]):
    """One reading statement, in autocommit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Operation[R]):
    """One writing statement, in autocommit: a third of a command's round trips.

    It is run again when its connection breaks, and may have been committed by then: a second run must change nothing.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Operation[R]):
    """Several reads that must agree with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Snapshot[R]):
    """A snapshot that adds up much of an agency's data. Few run at once, so that they delay nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Operation[R]):
    """Writes, in one transaction. Retried on serialisation failure and deadlock, never after a lost COMMIT."""
