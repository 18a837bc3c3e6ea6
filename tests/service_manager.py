"""The service manager's end of sd_notify(3): a socket of its own, and what was reported to it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tests.waiting import PATIENCE

WATCHDOG_SECONDS = 0.3


class Manager:
    """Receives reports as systemd does. ``address`` is a path, or a name that begins with ``@``."""

    def __init__(self, address: Path | str) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)

    @property
    def environ(self) -> dict[str, str]:
        """What systemd sets for a service with a watchdog."""
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1_000_000))}

    def waiting(self) -> list[str]:
        """The reports that have arrived, without waiting."""
        reports: list[str] = []
        while True:
            try:
                reports.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return reports

    async def until(self, begins: str) -> str:
        """The next report that begins so; others before it are passed over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                report = (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode()
                if report.startswith(begins):
                    return report

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
