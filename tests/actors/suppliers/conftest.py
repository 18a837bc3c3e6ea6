"""Suppliers that end with their test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.actors.suppliers.stand import Fake, Make, Stand
from tests.manual_clock import ManualClock
from voyagent.actors.runtime.ref import Ref
from voyagent.actors.suppliers.clients import FlightClient
from voyagent.actors.suppliers.supplier import SupplierActor


@pytest.fixture
async def make(clock: ManualClock) -> AsyncIterator[Make]:
    started: list[Ref] = []

    def starting(*script: Any, **parts: Any) -> Stand:
        driver = Fake(script=list(script), **parts)
        ref = SupplierActor.start(name=driver.name, flights=driver, clock=clock)  # type: ignore[arg-type]
        started.append(ref)
        return Stand(driver, ref, FlightClient("t-1", "fake", driver.capabilities, ref), clock)

    yield starting
    for ref in started:
        await ref.stop_and_wait(5.0)
