"""The model's client, imported in the background: its library takes as long to import as all the rest together."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from ...foundation import gc_policy
from ...foundation.clock import Clock
from ...foundation.threads import in_thread
from .model import Answer, Delta, ModelCall

if TYPE_CHECKING:
    from .messages_api import AnthropicModel


class LazyModel:
    """A model that loads in the background, so that the start does not wait. Call ``load`` in the event loop."""

    def __init__(self, api_key: str | None, base_url: str | None, clock: Clock) -> None:
        self._given = (api_key, base_url, clock)
        self._client: AnthropicModel | None = None
        self._loading: asyncio.Task[AnthropicModel] | None = None

    def load(self) -> asyncio.Task[AnthropicModel]:
        """Start loading, unless that has begun."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load(), name="model.load")
        return self._loading

    async def _load(self) -> AnthropicModel:
        module = await in_thread(importlib.import_module, ".messages_api", __package__)
        self._client = module.AnthropicModel(*self._given)
        gc_policy.postpone()
        return self._client

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        """As `Model.stream`."""
        return self._when_loaded(call) if self._client is None else self._client.stream(call)

    async def _when_loaded(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        client = await asyncio.shield(self.load())
        async with aclosing(client.stream(call)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Close its connections."""
        if self._loading is not None:
            await (await self._loading).close()
