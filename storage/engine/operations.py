"""The shape of every storage operation: a frozen message that knows how to run on one connection.

An operation with a ``tenant_id`` is run on a connection that serves that tenant alone (row-level security holds it
there); one with ``None`` is system work and runs as role ``voyagent_system``. A ``Query`` is a single statement in
autocommit, a ``Write`` one that writes; a ``Snapshot`` several reads in one REPEATABLE READ transaction; a ``Command``
one READ COMMITTED one. What is ``Batched`` runs together with its like.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from ...actors.domain.placement import Lease
from ...actors.runtime.actor import Message

if TYPE_CHECKING:
    from .connection import Connection

R = TypeVar("R")

ACCOUNTS: Final = "People's accounts are served by every node: row locks and unique constraints decide."
DENIALS: Final = "A denial is recorded by the node that denied."
OUTBOX: Final = "The outbox is shared by all nodes: a row is claimed with SKIP LOCKED, for two minutes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Message[R]):
    """One named storage operation and its reply type."""

    tenant_id: str | None
    lease: Lease | None = None
    """What is written under: it is fenced, so that it fails once the shard has another owner."""

    @property
    def lock(self) -> int | None:
        """An advisory lock held while it runs: it waits for all that hold it, lost COMMITs included.

        An operation with a lock is neither begun nor retried once its ask has timed out.
        """
        return None

    @property
    def needs_lease(self) -> bool:
        """Whether it is a defect to run it without a lease, where nodes are told apart."""
        return False

    @property
    def label(self) -> str:
        """What metrics and log lines call it."""
        return type(self).__name__

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
    It needs a lease, and calls ``voyagent_fence`` with it in its statement.
    """

    @property
    def needs_lease(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Batched(Operation[R]):
    """An operation that runs together with its like: what comes while one runs is gathered for the next run."""

    MOST_TOGETHER: ClassVar[int] = 64

    @property
    @abstractmethod
    def like(self) -> Hashable:
        """What those have in common that run together."""

    @classmethod
    @abstractmethod
    async def run_all(cls, db: Connection, operations: Sequence[Self]) -> list[R]:
        """Execute all or none, in their order; their replies. A refusal may be of any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchedWrite(Batched[R], Write[R]):
    """A write that shares its statement with others of the same class, agency and lease."""

    @property
    def like(self) -> Hashable:
        return type(self), self.tenant_id, self.lease

    async def run(self, db: Connection) -> R:
        (reply,) = await self.run_all(db, [self])
        return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedQuery(Batched[R], Query[R]):
    """A query whose reply all get who ask the same before it begins. The reply is never changed by them."""

    MOST_TOGETHER: ClassVar[int] = 5_000

    @property
    def like(self) -> Hashable:
        return self

    @classmethod
    async def run_all(cls, db: Connection, operations: Sequence[Self]) -> list[R]:
        return [await operations[0].run(db)] * len(operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Operation[list[Any]]):
    """Operations that run together, under the lease they have in common."""

    operations: Sequence[Batched[Any]]

    @property
    def needs_lease(self) -> bool:
        return self.operations[0].needs_lease

    @property
    def label(self) -> str:
        return self.operations[0].label

    async def run(self, db: Connection) -> list[Any]:
        return await self.operations[0].run_all(db, self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Operation[R]):
    """Several reads that must agree with each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Snapshot[R]):
    """A snapshot that adds up much of an agency's data. Few run at once, so that they delay nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Operation[R]):
    """Writes, in one transaction. Retried on serialisation failure and deadlock, never after a lost COMMIT.

    It needs a lease unless its class says in ``UNFENCED`` why any node may write this.
    """

    UNFENCED: ClassVar[str] = ""

    @property
    def unfenced(self) -> str:
        """Why it needs no lease; empty if it does."""
        return self.UNFENCED

    @property
    def needs_lease(self) -> bool:
        return not self.unfenced
