"""Counters and histograms of one thread: no lock and little else is done for a figure until Prometheus asks for it.

The library's own take a lock for each, and a histogram of theirs costs two microseconds. They are added to by the
thread of the event loop alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

__all__ = ["Counter", "Counters", "Histogram", "Histograms"]

Child = TypeVar("Child")


class Counter:
    """A figure that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        self.value += amount


class Histogram:
    """How many figures fell into which bucket, and their sum. A bucket holds what is at most its bound."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, figure: float) -> None:
        """Count one."""
        self.counts[bisect_left(self._bounds, figure)] += 1
        self.total += figure

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class _Series(Collector, Generic[Child]):
    """What has one name, by its labels; without labels there is one child."""

    def __init__(self, name: str, says: str, labels: Sequence[str]) -> None:
        self.name = name
        self.says = says
        self.label_names = tuple(labels)
        self._children: dict[tuple[str, ...], Child] = {}
        if not labels:
            self.labels()
        REGISTRY.register(self)

    def labels(self, *values: object, **named: object) -> Child:
        """The child with these values, in the order of the names or by name."""
        given = values or tuple(named[name] for name in self.label_names)
        key = tuple(map(str, given))
        if len(key) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}")
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._child()
        return child

    def _child(self) -> Child:
        raise NotImplementedError


class Counters(_Series[Counter]):
    """A counter by its labels."""

    def inc(self, amount: float = 1) -> None:
        """Add to the one that has no labels."""
        self._children[()].value += amount

    def collect(self) -> Iterable[CounterMetricFamily]:
        """What Prometheus is shown."""
        family = CounterMetricFamily(self.name, self.says, labels=self.label_names)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        return [family]

    def _child(self) -> Counter:
        return Counter()


class Histograms(_Series[Histogram]):
    """A histogram by its labels."""

    def __init__(self, name: str, says: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._ends = [*map(floatToGoString, self.bounds), "+Inf"]
        super().__init__(name, says, labels)

    def observe(self, figure: float) -> None:
        """Count one in the one that has no labels."""
        self._children[()].observe(figure)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What Prometheus is shown: each bucket with all that is in those before it."""
        family = HistogramMetricFamily(self.name, self.says, labels=self.label_names)
        for values, child in self._children.items():
            buckets = list(zip(self._ends, map(float, accumulate(child.counts)), strict=True))
            family.add_metric(values, buckets, child.total)
        return [family]

    def _child(self) -> Histogram:
        return Histogram(self.bounds)
