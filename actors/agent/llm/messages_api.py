"""The model behind the Messages API, called through the vendor's SDK.

Retries are ours, not the SDK's, which obeys ``Retry-After`` without a limit: two before the stream opens, one more for
a stream that breaks before its first text. After text has been published nothing is retried. The limit of ten minutes
is the caller's. Leaving the stream, by cancelling the task or closing the generator, closes the connection at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import cache
from typing import Any, cast

import anthropic
import httpx2
from anthropic import AsyncAnthropic, DefaultAioHttpClient

from ...foundation import log, metrics
from ...foundation.backoff import Backoff
from ...foundation.clock import Clock
from . import sse
from .accumulator import Accumulator, MalformedStream, Usage
from .errors import API_ERRORS, cause, judge, retry_after, share_taken
from .idle_timeout import IdleTimeout
from .model import Answer, Delta, ModelCall, ModelFailed
from .request import marked_messages, marked_tools, system_blocks

_log = log.get("model")

VENDOR_URL = "https://api.anthropic.com"
"""The API's default URL; explicit, so that the SDK does not read one from the environment."""

RETRIES = 2
"""Attempts after the first while no stream has opened."""

REOPENINGS = 1
"""Attempts after a stream broke before its first text."""

FIRST_BACKOFF = 0.75
"""Seconds before the first retry at most, doubled for each that follows; two thirds of a pause are random."""

LONGEST_WAIT = 30.0
"""Seconds; a longer ``Retry-After`` is cut to it rather than hold up a user's turn."""

IDLE_SECONDS = 120.0
"""Seconds without a byte after which a connection counts as lost: the API pings far more often."""

DRAIN_SECONDS = 0.25
"""Seconds to read the rest of a response after its last event, so that the connection can be reused."""


class AnthropicModel:
    """The Messages API, or a server with the same protocol at ``base_url``, through the vendor's SDK."""

    def __init__(
        self,
        api_key: str | None,
        base_url: str | None,
        clock: Clock,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._client = _client((api_key or "").strip(), (base_url or "").strip() or VENDOR_URL)

    async def close(self) -> None:
        """Close idle connections; streams under way break."""
        if self._client is not None:
            await self._client.close()

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta | Answer, None]:
        """See `Model.stream`."""
        if self._client is None:
            metrics.MODEL_CALLS_TOTAL.labels(call.model, "failed").inc()
            raise ModelFailed("model_not_configured")
        tries = _Tries(call, self._clock, self._jitter)
        answer: Answer | None = None
        try:
            while answer is None:
                attempt = Accumulator()
                try:
                    async with contextlib.aclosing(self._text(self._client, call, attempt, tries)) as words:
                        async for text in words:
                            yield Delta(text)
                    answer = _whole(attempt, tries)
                except API_ERRORS as error:
                    await tries.wait_or_fail(error, attempt)
            metrics.MODEL_CALLS_TOTAL.labels(call.model, "ok").inc()
        except ModelFailed:
            metrics.MODEL_CALLS_TOTAL.labels(call.model, "failed").inc()
            raise
        finally:
            tries.count()
        yield answer

    async def _text(
        self, client: AsyncAnthropic, call: ModelCall, attempt: Accumulator, tries: _Tries
    ) -> AsyncGenerator[str, None]:
        """The text of one attempt; everything else of the stream accumulates in ``attempt``."""
        async with asyncio.timeout(IDLE_SECONDS):
            stream = await client.messages.create(
                model=call.model,
                max_tokens=call.max_tokens,
                system=cast("Any", system_blocks(call.system)) or anthropic.omit,
                tools=cast("Any", marked_tools(call.tools)) or anthropic.omit,
                messages=cast("Any", marked_messages(call.messages)),
                stream=True,
            )
        tries.opened = True
        idle = IdleTimeout(stream.close, IDLE_SECONDS, self._clock)
        try:
            decoder, body = sse.Decoder(), _body(stream.response)
            async for chunk in body:
                idle.touch()
                for name, data in decoder.feed(chunk):
                    known = attempt.usage
                    text = attempt.take(name, data)
                    if attempt.usage is not known:
                        tries.note(attempt.usage)
                    if text:
                        tries.published = True
                        yield text
                if attempt.complete:
                    await _drain(body)
                    break
        finally:
            idle.end()
            with contextlib.suppress(*API_ERRORS):  # the stream is broken already or no longer needed
                await stream.close()


class _Tries:
    """The attempts of one call: their total usage, and whether there may be another."""

    def __init__(self, call: ModelCall, clock: Clock, jitter: Callable[[], float]) -> None:
        self._call = call
        self._clock = clock
        self._jitter = jitter
        self._began = clock.monotonic()
        self._earlier: Usage | None = None
        self._refused = 0
        self._broken = 0
        self.opened = False
        self.published = False
        self.spent: Usage | None = None

    def note(self, stated: Usage | None) -> None:
        """Note the usage of the current attempt on top of the earlier ones."""
        self.spent = stated if stated is None or self._earlier is None else self._earlier + stated
        if self._call.meter is not None and self.spent is not None:
            self._call.meter(self.spent)

    async def wait_or_fail(self, error: BaseException, attempt: Accumulator) -> None:
        """Return when the next attempt is due; raise `ModelFailed` when there is none."""
        verdict = judge(error)
        if self.opened:
            self._broken += 1
            again = self._broken <= REOPENINGS and verdict.transient and not self.published
        else:
            self._refused += 1
            again = self._refused <= RETRIES and verdict.transient
        _log.warning(
            "model_call_interrupted" if self.opened else "model_call_refused",
            model=self._call.model,
            again=again,
            published=self.published,
            **cause(error),
        )
        if not again:
            code = "model_unavailable" if self.published else verdict.code
            share = 1.0 if self.published else share_taken(error)
            raise ModelFailed(code, self.spent, attempt.words(), share=share) from error
        metrics.MODEL_CALLS_TOTAL.labels(self._call.model, "retried").inc()
        self._earlier, self.opened = self.spent, False
        await self._clock.sleep(self._backoff(error))

    def _backoff(self, error: BaseException) -> float:
        asked = retry_after(error, self._clock)
        if asked is not None:
            return min(asked * (1 + self._jitter() / 10), LONGEST_WAIT)
        backoff = Backoff(FIRST_BACKOFF, LONGEST_WAIT, jitter=2 / 3, random=self._jitter)
        return backoff.pause(self._refused + self._broken)

    def count(self) -> None:
        """Count time and tokens in the metrics, also for failed and abandoned calls."""
        model = self._call.model
        metrics.MODEL_CALL_DURATION_SECONDS.labels(model).observe(self._clock.monotonic() - self._began)
        spent = self.spent or Usage()
        for kind, tokens in (
            ("input", spent.input),
            ("output", spent.output),
            ("cache_read", spent.cache_read),
            ("cache_write", spent.cache_write),
        ):
            metrics.MODEL_TOKENS_TOTAL.labels(model, kind).inc(tokens)


def _whole(attempt: Accumulator, tries: _Tries) -> Answer:
    """The answer, if both the stream and the model's answer are complete."""
    if not attempt.complete:
        raise MalformedStream("the stream ended before the message")
    match attempt.stop_reason:
        case "max_tokens" | "model_context_window_exceeded":
            raise ModelFailed("output_truncated", tries.spent, attempt.words())
        case "refusal":
            raise ModelFailed("model_refused", tries.spent, attempt.words())
    return Answer(attempt.blocks(), attempt.ended_by, tries.spent or Usage(), attempt.flaws())


def _body(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The response's chunks as they come; only a compressed response passes through the decoders."""
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return response.aiter_raw() if plain else response.aiter_bytes()


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read the rest of the response; a connection with unread data cannot be reused."""
    with contextlib.suppress(*API_ERRORS):  # the answer is complete: how the connection ends does not matter
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in body:
                pass


@cache
def _trusted(*, trust_env: bool) -> ssl.SSLContext:
    """The trusted certificates, read once: the SDK reads them for each client, which takes 20 ms."""
    return httpx2.create_ssl_context(trust_env=trust_env)


def _client(key: str, base_url: str) -> AsyncAnthropic | None:
    """The SDK's client; None without a key that fits a header. Loopback ignores the environment's proxies."""
    if not key or not (key.isascii() and key.isprintable()):
        return None
    trust_env = not _is_loopback(base_url)
    return AsyncAnthropic(
        api_key=key,
        base_url=base_url,
        max_retries=0,
        open_telemetry=False,  # no option of the environment may put the conversation into traces
        http_client=DefaultAioHttpClient(
            timeout=httpx2.Timeout(None, connect=5.0), verify=_trusted(trust_env=trust_env), trust_env=trust_env
        ),
    )


def _is_loopback(url: str) -> bool:
    host = httpx2.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
