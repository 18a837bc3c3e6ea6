"""Operations run together with their like, and each has the reply it would have alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.figures import sample
from tests.waiting import Event, until
from voyagent.actors import batches
from voyagent.actors.batches import Batches
from voyagent.actors.domain.errors import Conflict, Refusal, Unavailable
from voyagent.actors.domain.placement import Lease
from voyagent.actors.foundation import log
from voyagent.storage.engine.connection import Connection
from voyagent.storage.engine.operations import Batch, BatchedWrite, SharedQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(BatchedWrite[int]):
    number: int

    @classmethod
    async def run_all(cls, db: Connection, operations: Any) -> list[int]:  # noqa: ARG003
        return [each.number for each in operations]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(SharedQuery[object]):
    at: str

    async def run(self, db: Connection) -> object:  # noqa: ARG002
        return object()


@dataclass
class Runs:
    """Runs batches, each when it is let go."""

    together: list[list[Any]] = field(default_factory=list)
    scopes: list[log.Scope] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ended: list[tuple[Any, BaseException | None]] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=Event)
    judge: Callable[[Batch], None] = lambda _: None

    def __post_init__(self) -> None:
        self.batches = Batches(lambda work: self.tasks.append(asyncio.ensure_future(work)))

    def put(self, operation: Any, tenant: str | None = None) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        log.SCOPE.set(log.Scope(request_id=f"r-{operation}", tenant=tenant))
        self.batches.put(operation, self.run, reply, lambda error: self.ended.append((operation, error)))
        return reply

    def add(self, *numbers: int, tenant: str = "a", lease: Lease | None = None) -> list[asyncio.Future[int]]:
        return [self.put(Add(tenant_id=tenant, number=each, lease=lease), tenant) for each in numbers]

    async def run(self, batch: Batch) -> list[Any]:
        self.together.append([getattr(each, "number", None) for each in batch.operations])
        self.scopes.append(log.SCOPE.get())
        await self.go.wait()
        self.judge(batch)
        return await batch.run(None)  # type: ignore[arg-type]  # no operation here has use for a connection

    def outcomes(self) -> list[tuple[int, str]]:
        """The numbers of what has run, each with its error."""
        return [(operation.number, repr(error)) for operation, error in self.ended]

    async def begun(self, count: int) -> None:
        await until(lambda: len(self.together) >= count)


async def test_what_comes_while_one_runs_is_gathered_for_the_next_in_its_order() -> None:
    runs = Runs()
    first = runs.add(1)
    await runs.begun(1)
    later = runs.add(2, 3, 4)
    runs.go.set()
    assert await asyncio.gather(*first, *later) == [1, 2, 3, 4]
    assert runs.together == [[1], [2, 3, 4]]
    assert await asyncio.gather(*runs.add(5)) == [5]
    await asyncio.gather(*runs.tasks)
    assert len(runs.tasks) == 2, "nothing runs on while there is nothing to do"


async def test_agencies_and_leases_never_run_together() -> None:
    runs = Runs()
    replies = runs.add(1) + runs.add(2, tenant="b") + runs.add(3, lease=Lease("n", 1, 1)) + runs.add(4)
    runs.go.set()
    assert await asyncio.gather(*replies) == [1, 2, 3, 4]
    assert runs.together == [[1, 4], [2], [3]]


async def test_one_that_is_refused_refuses_no_other() -> None:
    def judge(batch: Batch) -> None:
        if any(each.number == 3 for each in batch.operations):
            raise Conflict("taken")

    runs = Runs(judge=judge)
    runs.go.set()
    done = await asyncio.gather(*runs.add(1, 2, 3, 4), return_exceptions=True)
    assert [repr(each) for each in done] == ["1", "2", "Conflict('taken')", "4"]
    assert runs.together == [[1, 2, 3, 4], [1], [2], [3], [4]]
    assert [each.request_id is None for each in runs.scopes] == [True] + [False] * 4
    assert {each.tenant for each in runs.scopes} == {"a"}
    assert runs.outcomes() == [(1, "None"), (2, "None"), (3, "Conflict('taken')"), (4, "None")]
    assert [error.__context__ for _, error in runs.ended if error] == [None], "it is logged without that of the batch"
    assert await asyncio.gather(*runs.add(5)) == [5]


async def test_what_cannot_be_stored_now_is_not_tried_one_by_one() -> None:
    def judge(_: Batch) -> None:
        raise Unavailable("storage_unavailable")

    runs = Runs(judge=judge)
    runs.go.set()
    done = await asyncio.gather(*runs.add(1, 2, 3), return_exceptions=True)
    assert [repr(each) for each in done] == ["Unavailable('storage_unavailable')"] * 3
    assert runs.together == [[1, 2, 3]]
    assert len({id(each) for each in done}) == 3, "each has one of its own, since it collects tracebacks"
    assert runs.outcomes() == [(number, "Unavailable('storage_unavailable')") for number in (1, 2, 3)]


async def test_one_whose_asker_has_left_before_it_began_is_not_run() -> None:
    runs = Runs()
    first = runs.add(1)
    await runs.begun(1)
    second, third, fourth = runs.add(2, 3, 4)
    second.cancel()
    third.set_exception(Unavailable("timeout"))
    first[0].cancel()
    runs.go.set()
    assert await fourth == 4
    assert runs.together == [[1], [4]]
    assert isinstance(third.exception(), Refusal)
    assert runs.outcomes() == [(1, "None"), (4, "None")], "what ran is no failure because nobody waits for it"


async def test_one_whose_asker_leaves_while_each_is_run_alone_is_not_run() -> None:
    def judge(batch: Batch) -> None:
        if len(batch.operations) > 1:
            raise Conflict("taken")
        last.cancel()

    runs = Runs(judge=judge)
    first, second, last = runs.add(1, 2, 3)
    runs.go.set()
    assert await asyncio.gather(first, second) == [1, 2]
    await asyncio.gather(*runs.tasks)
    assert runs.together == [[1, 2, 3], [1], [2]]


async def test_a_batch_is_bounded_and_so_is_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_WAITING", 100)
    runs, others = Runs(), sample("storage_operations_waiting")
    first = runs.add(0)
    await runs.begun(1)
    waiting = runs.add(*range(1, 101))
    with pytest.raises(Unavailable, match="overloaded"):
        runs.add(101)
    assert sample("storage_operations_waiting") == others + 100
    runs.go.set()
    assert await asyncio.gather(*first, *waiting) == list(range(101))
    assert [len(each) for each in runs.together] == [1, Add.MOST_TOGETHER, 100 - Add.MOST_TOGETHER]
    assert sample("storage_operations_waiting") == others
    assert await asyncio.gather(*runs.add(102)) == [102]


async def test_equal_queries_share_the_next_run_and_never_one_that_has_begun() -> None:
    runs = Runs()
    first = runs.put(Look(tenant_id="a", at="x"))
    await runs.begun(1)
    later = [runs.put(Look(tenant_id="a", at="x")) for _ in range(3)]
    others = [runs.put(Look(tenant_id=tenant, at=at)) for tenant, at in (("a", "y"), ("b", "x"))]
    runs.go.set()
    seen = await asyncio.gather(first, *later, *others)
    assert len({id(each) for each in seen[1:4]}) == 1
    assert len({id(each) for each in seen}) == 4
    assert sorted(map(len, runs.together)) == [1, 1, 1, 3]
    crowd = await asyncio.gather(*(runs.put(Look(tenant_id="a", at="x")) for _ in range(2_000)))
    assert len({id(each) for each in crowd}) == 1, "one reading is enough for any number"


async def test_what_runs_when_its_owner_ends_leaves_nothing_behind() -> None:
    runs, others = Runs(), sample("storage_operations_waiting")
    (first,) = runs.add(1)
    await runs.begun(1)
    (second,) = runs.add(2)
    runs.tasks[0].cancel()
    await asyncio.wait(runs.tasks)
    assert not first.done(), "whoever has asked is answered by the owner"
    assert not second.done()
    assert sample("storage_operations_waiting") == others
    runs.go.set()
    assert await asyncio.gather(*runs.add(3)) == [3]
