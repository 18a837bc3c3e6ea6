"""Argon2id in its own thread pool: off the event loop, with bounded concurrency."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from ..domain.identity import opaque
from ..foundation import log, metrics
from .hash_queue import Asker, Bounds, HashQueue

R = TypeVar("R")

ANONYMOUS, UNBOUNDED = Asker(), Bounds()

NICENESS = 10
"""Hashing threads run at low priority, which keeps the event loop's lag at a millisecond."""

_SALT = 16
_DIGEST = 32

_log = log.get("passwords")


class Passwords:
    """Hashes and verifies passwords, in their ``opaque`` form. The figures are Argon2's; ``memory_cost`` in KiB."""

    def __init__(
        self, *, time_cost: int, memory_cost: int, parallelism: int, workers: int, bounds: Bounds = UNBOUNDED
    ) -> None:
        self._argon2 = PasswordHasher(time_cost, memory_cost, parallelism, hash_len=_DIGEST, salt_len=_SALT)
        self._nobody = _unmatchable_hash(time_cost, memory_cost, parallelism)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="argon2", initializer=_lower_priority)
        self._queue = HashQueue(workers, bounds)

    async def hash(self, text: str, asker: Asker = ANONYMOUS) -> str:
        """The PHC string to store for ``text``. Refused as ``HashQueue.place`` refuses ``asker``."""
        return await self._in_turn(asker, lambda: self._argon2.hash(opaque(text)))

    async def verify(self, stored: str | None, text: str, asker: Asker = ANONYMOUS) -> bool:
        """Whether ``text`` is the password behind ``stored``. Without a hash it takes just as long and returns False.

        Refused as ``HashQueue.place`` refuses ``asker``.
        """
        return await self._in_turn(asker, lambda: self._matches(stored or self._nobody, opaque(text)))

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with other parameters than the current ones."""
        return self._argon2.check_needs_rehash(stored)

    def close(self) -> None:
        """Accept no more work; a running hash completes."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, text: str) -> bool:
        try:
            return self._argon2.verify(stored, text)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            _log.error("password_hash_read_failed")
            return False

    async def _in_turn(self, asker: Asker, work: Callable[[], R]) -> R:
        async with self._queue.place(asker):
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._threads, _timed, work)
        metrics.PASSWORD_HASH_SECONDS.observe(seconds)
        return result


def _timed(work: Callable[[], R]) -> tuple[R, float]:
    began = perf_counter()
    return work(), perf_counter() - began


def _lower_priority() -> None:
    """Only on Linux has each thread its own niceness; elsewhere it would slow the whole process."""
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _unmatchable_hash(time_cost: int, memory_cost: int, parallelism: int) -> str:
    """A PHC string that no password matches: verifying against it costs one full hash."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_SALT, _DIGEST))
    return f"$argon2id$v=19$m={memory_cost},t={time_cost},p={parallelism}${salt}${digest}"
