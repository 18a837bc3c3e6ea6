"""What an actor has read is kept for a time, and read once by any number at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.domain.errors import Unavailable
from voyagent.actors.runtime.cache import SingleFlightCache
from voyagent.actors.runtime.reply import Outcome


class Source:
    """Answers when it is told to, and brings outcomes back by hand, as a mailbox would."""

    def __init__(self) -> None:
        self.reads = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.mailbox: asyncio.Queue[Callable[[], None]] = asyncio.Queue()

    def pipe(
        self, work: Coroutine[Any, Any, Any], then: Callable[[Outcome[Any]], None], *, name: str, finish: bool = False
    ) -> None:
        assert (name, finish) == ("read", True)
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: self.mailbox.put_nowait(lambda: then(Outcome.of(done))))

    async def read(self) -> str:
        self.reads += 1
        return await self.answer

    async def handle(self) -> None:
        (await self.mailbox.get())()


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
def cache(source: Source, clock: ManualClock) -> SingleFlightCache[str, str]:
    return SingleFlightCache(source.pipe, clock, fresh_seconds=30.0, max_entries=2)


async def fill(cache: SingleFlightCache[str, str], source: Source, key: str) -> None:
    reply = cache.read(key, source.read)
    if not source.answer.done():
        source.answer.set_result("x")
    await source.handle()
    assert await reply == "x"


async def test_reads_at_once_are_one(cache: SingleFlightCache[str, str], source: Source) -> None:
    replies = [cache.read("a", source.read) for _ in range(3)]
    assert (cache.reading, cache.is_reading("a"), cache.get("a")) == (1, True, None)
    source.answer.set_result("x")
    await source.handle()
    assert [await reply for reply in replies] == ["x"] * 3
    assert (source.reads, cache.reading) == (1, 0)


async def test_an_entry_is_as_old_as_its_question(
    cache: SingleFlightCache[str, str], source: Source, clock: ManualClock
) -> None:
    cache.read("a", source.read)
    await clock.advance(29)
    source.answer.set_result("x")
    await source.handle()
    assert cache.get("a") is not None
    await clock.advance(1)
    assert cache.get("a") is None


async def test_the_oldest_leaves_when_it_is_full(cache: SingleFlightCache[str, str], source: Source) -> None:
    for key in ("a", "b", "c"):
        await fill(cache, source, key)
    assert [cache.get(key) is not None for key in ("a", "b", "c")] == [False, True, True]


async def test_a_read_that_fails_is_not_kept(cache: SingleFlightCache[str, str], source: Source) -> None:
    reply = cache.read("a", source.read)
    source.answer.set_exception(Unavailable("storage_unavailable"))
    await source.handle()
    with pytest.raises(Unavailable):
        await reply
    assert (cache.get("a"), cache.reading) == (None, 0)


@pytest.mark.parametrize(
    "evict", [lambda cache: cache.evict(lambda key: key == "a"), lambda cache: cache.evict_one("a")], ids=["all", "one"]
)
async def test_what_is_evicted_while_it_is_read_is_answered_and_not_kept(
    cache: SingleFlightCache[str, str], source: Source, evict: Callable[[SingleFlightCache[str, str]], None]
) -> None:
    reply = cache.read("a", source.read)
    evict(cache)
    later = cache.read("a", source.read)
    assert later is not reply
    source.answer.set_result("x")
    await source.handle()
    assert await reply == "x"
    assert cache.get("a") is None
    await source.handle()
    assert await later == "x"
    assert cache.get("a") is not None


async def test_one_that_is_evicted_takes_no_other_along(cache: SingleFlightCache[str, str], source: Source) -> None:
    for key in ("a", "b"):
        await fill(cache, source, key)

    cache.evict_one("a")
    cache.evict_one("c")

    assert [cache.get(key) is not None for key in ("a", "b")] == [False, True]
