"""Pauses that double."""

from __future__ import annotations

from voyagent.actors.foundation.backoff import Backoff


def test_each_pause_is_twice_the_last_up_to_the_longest() -> None:
    backoff = Backoff(first=0.1, longest=1.0)
    assert [backoff.pause(failures) for failures in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.pause(10_000) == 1.0


def test_jitter_takes_off_a_random_share() -> None:
    draws = iter([0.0, 0.5, 1.0])
    backoff = Backoff(first=1.0, longest=8.0, jitter=0.25, random=lambda: next(draws))
    assert [backoff.pause(failures) for failures in (1, 2, 3)] == [1.0, 1.75, 3.0]
