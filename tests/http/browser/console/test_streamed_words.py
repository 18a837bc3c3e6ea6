"""What words cost the browser while they come."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

import pytest

from tests.http.browser.console.conftest import Console
from tests.http.browser.console.conversing import at_rest, said, texts, write
from tests.rehearsal import Rehearsal, Text, Turn
from tests.waiting import until

pytestmark = pytest.mark.browser

WORDS = 1_000
MANY_WORDS = int(os.environ.get("WORDS", "5000"))
LONGEST_PARAGRAPH = 2_000
"""Characters that a page lays out at once: those of ``text-run.js``, 1,500, and the rest of a line."""
BUSY = ("LayoutDuration", "RecalcStyleDuration", "ScriptDuration")
LENGTH = """words => document.querySelector(".turn:last-child .answer .said").textContent.length >= words * 9 - 1"""
"""Whether so many words are on the page; looked at seldom, since a look costs time, too."""
WATCH = """() => {
  const seen = window.seen = { frames: 0, worst_ms: 0, over_50_ms: 0, longest_text: 0, elements: 0, removed: 0 };
  const said = document.querySelector(".turn:last-child .answer .said");
  new MutationObserver((changes) => {
    for (const { target, addedNodes, removedNodes } of changes) {
      seen.longest_text = Math.max(seen.longest_text, target === said ? 0 : target.textContent.length);
      seen.elements += addedNodes.length;
      seen.removed += removedNodes.length;
    }
  }).observe(said, { characterData: true, childList: true, subtree: true });
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
"""What changes on the page, which is the same everywhere, and the gaps between frames, which other programs widen."""


def longest_task(trace: bytes, at_least: int) -> float:
    """Milliseconds of processor time of the longest task, layout included, of ``at_least`` in a page's main thread."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [e["tdur"] for e in events if e["name"] == "RunTask" and (e["pid"], e["tid"]) in mains and "tdur" in e]
    assert len(tasks) > at_least
    return max(tasks) / 1_000


@dataclass(frozen=True)
class Seen:
    """What an answer cost its page, and what the page shows at its end."""

    words: list[str]
    text: str
    changes: dict[str, float]
    heap_grown_bytes: int
    busy_ms_early: float
    busy_ms_late: float
    longest_task_ms: float


async def stream(console: Console, player: Rehearsal, count: int) -> Seen:
    """Have an answer of so many words said at fifty a second, in lines of forty."""
    part = count // 5
    page = (await console.open(await console.sign_up(), "conversations/new")).page
    player.play(Turn("ready"))
    await write(page, "hello")
    await said(page, "ready").wait_for()
    await at_rest(page)
    words = [f"word{number:04} " if number % 40 else f"word{number:04}.\n" for number in range(1, count + 1)]
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
    early = await come(100 + part)
    late = await come(count - part)
    await console.browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    last = await come(count)
    trace = await console.browser.stop_tracing()
    changes = await page.evaluate("window.seen")
    await at_rest(page)
    return Seen(
        words,
        (await texts(page))[-1],
        changes,
        int(last["JSHeapUsedSize"] - first["JSHeapUsedSize"]),
        busy(first, early),
        busy(late, last),
        longest_task(trace, part),
    )


def tell(capsys: pytest.CaptureFixture[str], seen: Seen) -> None:
    figures = asdict(seen)
    figures |= figures.pop("changes") | {"words": len(figures["words"])}
    del figures["text"]
    with capsys.disabled():
        sys.stdout.write(json.dumps({"console_stream": figures}) + "\n")


@pytest.mark.timeout(480)
async def test_no_word_has_the_browser_lay_out_more_than_its_own_paragraph(
    console: Console, player: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = await stream(console, player, WORDS)
    tell(capsys, seen)
    assert "".join(seen.words).strip() == seen.text
    assert 0 < seen.changes["longest_text"] < LONGEST_PARAGRAPH
    assert seen.changes["elements"] < 9 * WORDS / LONGEST_PARAGRAPH + 10
    assert seen.changes["removed"] == 0
    assert seen.heap_grown_bytes < 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_five_thousand_words_hold_no_frame_up(
    console: Console, player: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Timed, so among the slow ones: a busy machine says nothing about it."""
    seen = await stream(console, player, MANY_WORDS)
    tell(capsys, seen)
    assert "".join(seen.words).strip() == seen.text
    assert seen.heap_grown_bytes < 1_000_000
    assert seen.busy_ms_late < 1.5 * seen.busy_ms_early
    assert seen.longest_task_ms < 50
    assert seen.changes["over_50_ms"] == 0
