"""Reports to the service manager that started this process: ready, alive, stopping (sd_notify(3)).

By hand, because the protocol is one datagram of ``NAME=value`` lines, and its packages on PyPI are either a binding to
libsystemd that has to be compiled or have had no release for years.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from . import log

BEATS: Final = 3
"""Reports within one watchdog period: a single late or lost one ends nothing."""
MICROSECONDS: Final = 1_000_000

_log = log.get(__name__)
_log_throttle = log.LogThrottle(first=1, pause=60.0)


class ServiceManager:
    """Whoever listens at ``NOTIFY_SOCKET``; nobody does if that is not set, and then nothing is sent."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """The variables are removed from ``environ``: child processes must not report in our name."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        period, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        watched = bool(self._address) and period.isdigit() and process in {"", str(os.getpid())}
        self._period = int(period) / MICROSECONDS if watched else 0.0

    @property
    def alive_every(self) -> float | None:
        """Seconds between two calls of ``alive``; None if no watchdog is set."""
        return self._period / BEATS if self._period else None

    def ready(self, status: str) -> None:
        """The service listens."""
        self._send("READY=1", f"STATUS={status}")

    async def alive(self) -> None:
        """The event loop turns. A coroutine on the loop that serves, so that a blocked loop reports nothing."""
        self._send("WATCHDOG=1")

    def stopping(self, seconds: float) -> None:
        """The service stops, and needs at most so many seconds for it."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}", "STATUS=Draining turns")

    def _send(self, *lines: str) -> None:
        """Send without waiting: a full socket must not stop the loop, and the next report is soon due."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if _log_throttle.allows():
                _log.warning("manager_not_reached", reason=f"{type(error).__name__}: {error.strerror}")
