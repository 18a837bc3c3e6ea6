"""Full collections are made in quiet moments, and only by a process that has been settled."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from voyagent.actors.foundation import gc_policy


@dataclass(slots=True)
class Collector:
    """Stands in for the interpreter's own."""

    threshold: tuple[int, int, int] = (700, 10, 10)
    middle: int = 0
    done: list[str] = field(default_factory=list)

    def get_threshold(self) -> tuple[int, int, int]:
        return self.threshold

    def set_threshold(self, *threshold: int) -> None:
        first, second, third = threshold
        self.threshold = (first, second, third)

    def get_count(self) -> tuple[int, int, int]:
        return (0, 0, self.middle)

    def collect(self) -> None:
        self.done.append("collect")
        self.middle = 0

    def freeze(self) -> None:
        self.done.append("freeze")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    stand_in = Collector(middle=gc_policy.MIN_MIDDLE_COLLECTIONS)
    monkeypatch.setattr(gc_policy, "gc", stand_in)
    return stand_in


def test_a_process_that_only_uses_the_service_is_left_as_it_is(collector: Collector) -> None:
    gc_policy.postpone()
    gc_policy.collect_if_due(idle=True)
    assert not collector.done
    assert not gc_policy.frozen()


def test_a_settled_one_spares_what_is_there_and_puts_full_collections_off(collector: Collector) -> None:
    gc_policy.freeze()
    assert (collector.done, gc_policy.frozen()) == (["collect", "freeze"], True)
    assert collector.threshold[2] > 10
    gc_policy.postpone()
    assert collector.done == ["collect", "freeze", "freeze"]


def test_a_quiet_moment_is_used_if_enough_has_happened_since_the_last(collector: Collector) -> None:
    gc_policy.freeze()
    collector.done.clear()
    gc_policy.collect_if_due(idle=True)
    assert not collector.done
    collector.middle = gc_policy.MIN_MIDDLE_COLLECTIONS
    gc_policy.collect_if_due(idle=True)
    gc_policy.collect_if_due(idle=True)
    assert collector.done == ["collect"]


def test_turns_that_never_pause_do_not_put_it_off_for_ever(collector: Collector) -> None:
    gc_policy.freeze()
    collector.done.clear()
    collector.middle = gc_policy.MAX_MIDDLE_COLLECTIONS - 1
    gc_policy.collect_if_due(idle=False)
    assert not collector.done
    collector.middle += 1
    gc_policy.collect_if_due(idle=False)
    gc_policy.collect_if_due(idle=False)
    assert collector.done == ["collect"]


FRAGMENTED = """
import re
from pathlib import Path
from voyagent.actors.foundation import gc_policy

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

gc_policy.freeze()
before = resident()
freed, kept = [], []
for _ in range(1000):
    freed.append(bytes(100_000))
    kept.append(bytes(1_000))
freed.clear()
between = resident()
for _ in range(gc_policy.MIN_MIDDLE_COLLECTIONS * 10):
    kept.append([[] for _ in range(1_000)])
gc_policy.collect_if_due(idle=True)
print(between - before, resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_what_is_free_between_what_is_kept_is_returned_to_the_system() -> None:
    told = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True).stdout
    fragmented, trimmed = map(int, told.split())
    assert fragmented > 50, "megabytes that the heap keeps although they are free"
    assert trimmed < fragmented / 2
