"""Full collections are made in quiet moments, and only by a process that has been settled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from voyagent.actors import garbage


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
    stand_in = Collector(middle=garbage.WORTH_IT)
    monkeypatch.setattr(garbage, "gc", stand_in)
    return stand_in


def test_a_process_that_only_uses_the_service_is_left_as_it_is(collector: Collector) -> None:
    garbage.spare()
    garbage.sweep()
    assert not collector.done
    assert not garbage.settled()


def test_a_settled_one_spares_what_is_there_and_puts_full_collections_off(collector: Collector) -> None:
    garbage.settle()
    assert (collector.done, garbage.settled()) == (["collect", "freeze"], True)
    assert collector.threshold[2] > 10
    garbage.spare()
    assert collector.done == ["collect", "freeze", "freeze"]


def test_a_quiet_moment_is_used_if_enough_has_happened_since_the_last(collector: Collector) -> None:
    garbage.settle()
    collector.done.clear()
    garbage.sweep()
    assert not collector.done
    collector.middle = garbage.WORTH_IT
    garbage.sweep()
    garbage.sweep()
    assert collector.done == ["collect"]
