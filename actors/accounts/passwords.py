"""Argon2id in a pool of its own: never on the loop, never more at once than the machine bears."""

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

from .. import log, metrics
from ..domain.errors import Unavailable
from ..domain.identity import opaque

R = TypeVar("R")

MAX_WAITING = 64
"""Hashes queued behind the running ones. More would only be answered after their askers have left."""

NICENESS = 10
"""Hashing takes the processor when nobody else wants it: the loop's lag stays at a millisecond."""

_SALT = 16
_DIGEST = 32

_log = log.get("passwords")


class Passwords:
    """Hashes and verifies passwords, in their ``opaque`` form. The figures are Argon2's; ``memory_cost`` in KiB."""

    def __init__(self, *, time_cost: int, memory_cost: int, parallelism: int, workers: int) -> None:
        self._argon2 = PasswordHasher(time_cost, memory_cost, parallelism, hash_len=_DIGEST, salt_len=_SALT)
        self._nobody = _impossible(time_cost, memory_cost, parallelism)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="argon2", initializer=_step_back)
        self._free = asyncio.Semaphore(workers)
        self._waiting = 0

    async def hash(self, text: str) -> str:
        """The PHC string to store for ``text``. Unavailable ``overloaded`` if too many wait already."""
        return await self._in_turn(lambda: self._argon2.hash(opaque(text)))

    async def verify(self, stored: str | None, text: str) -> bool:
        """Whether ``text`` is the password behind ``stored``. Without a hash it takes just as long, and it is not."""
        return await self._in_turn(lambda: self._matches(stored or self._nobody, opaque(text)))

    def outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with other figures than today's."""
        return self._argon2.check_needs_rehash(stored)

    def close(self) -> None:
        """Take no more work; a hash under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, text: str) -> bool:
        try:
            return self._argon2.verify(stored, text)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            _log.error("stored password hash cannot be read")
            return False

    async def _in_turn(self, work: Callable[[], R]) -> R:
        if self._free.locked() and self._waiting >= MAX_WAITING:
            raise Unavailable("overloaded")
        self._waiting += 1
        metrics.PASSWORD_HASHES_WAITING.inc()
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
            metrics.PASSWORD_HASHES_WAITING.dec()
        try:
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._threads, _timed, work)
        finally:
            self._free.release()
        metrics.PASSWORD_HASH_SECONDS.observe(seconds)
        return result


def _timed(work: Callable[[], R]) -> tuple[R, float]:
    began = perf_counter()
    return work(), perf_counter() - began


def _step_back() -> None:
    """Linux gives each thread a niceness of its own; elsewhere it would slow the whole process."""
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _impossible(time_cost: int, memory_cost: int, parallelism: int) -> str:
    """A PHC string no password fits: verifying against it costs one full hash."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (_SALT, _DIGEST))
    return f"$argon2id$v=19$m={memory_cost},t={time_cost},p={parallelism}${salt}${digest}"
