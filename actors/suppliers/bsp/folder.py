"""The folder of HOT files: which of them are an agency's, by their content and never by their names."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from ...domain.bsp import StatementQuestion
from ...foundation import log
from . import hot, layout
from .layout import Broken, Record

MOST_FILES = 2_000
MOST_BYTES = 256 * 2**20
"""Of one file: an airline's billing analysis of a large country."""

_log = log.get(__name__)


class Stopped(Exception):
    """Nobody waits for this any more."""


@dataclass(slots=True)
class Found:
    """The agency's files of a country: those of the period asked for, and the ends of all its other periods."""

    files: list[Path] = field(default_factory=list)
    other_ends: set[date] = field(default_factory=set)

    def opened_after(self, question: StatementQuestion) -> date | None:
        """The end of the period before, if it is known."""
        return max((day for day in self.other_ends if day < question.period_end), default=None)


def search(folder: Path, agents: Collection[str], question: StatementQuestion, stop: threading.Event) -> Found:
    """Look into every file. Raises ``OSError`` if the folder cannot be read, and ``Stopped``."""
    found = Found()
    for path in _files(folder):
        ends = _ends(path, agents, question.country, stop)
        if question.period_end in ends:
            found.files.append(path)
        found.other_ends |= ends - {question.period_end}
    return found


def lines(path: Path, stop: threading.Event) -> Iterator[str]:
    """The lines of a file, each byte a character. A line that is longer than any record comes in parts."""
    with path.open(encoding="latin-1", newline="\n") as file:
        while line := file.readline(2 * layout.LENGTH):
            if stop.is_set():
                raise Stopped
            yield line


def _files(folder: Path) -> Sequence[Path]:
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if len(paths) > MOST_FILES:
        _log.error("bsp_too_many_files", files=len(paths), read=MOST_FILES)
        raise OSError(f"more than {MOST_FILES} files")
    return paths


def _ends(path: Path, agents: Collection[str], country: str, stop: threading.Event) -> set[date]:
    """The ends of the agency's billing periods in a file; none if it is no HOT file of production and this country.

    Only headers are read; whether the file is sound is seen when it is read whole. An interim run is not billed yet.
    """
    ends: set[date] = set()
    cycle: hot.Cycle | None = None
    for number, line in enumerate(lines(path, stop), 1):
        if number > 1 and line[:3] not in ("BCH", "BOH"):
            continue
        record = Record(number, hot.padded(line))
        if number == 1 and not _concerns(record, path, country):
            return set()
        try:
            if record.name == "BCH02":
                cycle = hot.cycle(record)
        except Broken:
            cycle = None
        if record.name == "BOH03" and cycle is not None and cycle.is_final and record.get(layout.AGENT) in agents:
            ends.add(cycle.period_end)
    return ends


def _concerns(record: Record, path: Path, country: str) -> bool:
    if record.name != "BFH01" or record.get(layout.STATUS) != "PROD" or record.get(layout.COUNTRY) != country:
        return False
    if path.stat().st_size <= MOST_BYTES:
        return True
    _log.error("bsp_file_too_large", file=path.name, most_bytes=MOST_BYTES)
    return False
