"""What words cost the browser while they come."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, said, texts, write
from tests.rehearsal import Rehearsal, Text, Turn
from tests.waiting import until

pytestmark = pytest.mark.browser

WORDS = int(os.environ.get("WORDS", "1000"))
PART = WORDS // 5
BUSY = ("LayoutDuration", "RecalcStyleDuration", "ScriptDuration")
LENGTH = """words => document.querySelector(".turn:last-child .answer .said").textContent.length >= words * 9 - 1"""
"""Whether so many words are on the page; looked at seldom, since a look costs time, too."""
WATCH = """() => {
  const seen = window.seen = { frames: 0, worst_ms: 0, over_50_ms: 0 };
  let last = performance.now();
  const frame = (now) => {
    seen.worst_ms = Math.max(seen.worst_ms, now - last);
    seen.over_50_ms += now - last > 50;
    seen.frames++;
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
"""The gaps between frames by the clock: of this page, and of whatever else the machine does."""


def longest_task(trace: bytes) -> float:
    """Milliseconds of processor time that the longest task of a page's main thread took, layout included."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [e["tdur"] for e in events if e["name"] == "RunTask" and (e["pid"], e["tid"]) in mains and "tdur" in e]
    assert len(tasks) > PART
    return max(tasks) / 1_000


@pytest.mark.timeout(480)
async def test_words_at_fifty_a_second_cost_no_more_at_the_end_than_at_the_start(
    console: Console, player: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    player.play(Turn("ready"))
    await write(page, "hello")
    await said(page, "ready").wait_for()
    await at_rest(page)
    words = [f"word{number:04} " if number % 40 else f"word{number:04}.\n" for number in range(1, WORDS + 1)]
    player.play(Turn(Text.split(*words), delay=0.02))
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    async def metrics() -> dict[str, float]:
        await devtools.send("HeapProfiler.collectGarbage")
        found = (await devtools.send("Performance.getMetrics"))["metrics"]
        return {each["name"]: each["value"] for each in found}

    async def come(word: int) -> dict[str, float]:
        for number in [*range(100, word, 250), word]:
            await until(lambda at=number: page.evaluate(LENGTH, at), pause=0.5)
        return await metrics()

    def busy(since: dict[str, float], to: dict[str, float]) -> float:
        return round(1_000 * sum(to[name] - since[name] for name in BUSY), 1)

    await write(page, "go")
    first = await come(100)
    await page.evaluate(WATCH)
    early = await come(100 + PART)
    late = await come(WORDS - PART)
    await console.browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    last = await come(WORDS)
    trace = await console.browser.stop_tracing()
    seen = await page.evaluate("window.seen")
    await at_rest(page)
    seen |= {
        "longest_task_ms": longest_task(trace),
        "heap_grown_bytes": int(last["JSHeapUsedSize"] - first["JSHeapUsedSize"]),
        "busy_ms_early": busy(first, early),
        "busy_ms_late": busy(late, last),
        "words": PART,
    }
    with capsys.disabled():
        sys.stdout.write(json.dumps({"console_stream": seen}) + "\n")
    assert "".join(words).strip() == (await texts(page))[-1]
    assert seen["heap_grown_bytes"] < 1_000_000
    assert seen["busy_ms_late"] < 1.5 * seen["busy_ms_early"]
    assert seen["longest_task_ms"] < 50
