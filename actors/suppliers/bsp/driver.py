"""Statements of a BSP, from the HOT files in a folder.

An agency sees what is billed to its own IATA numbers and nothing else; the operator sets them, as its credential.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ...domain.bsp import MOST_TRANSACTIONS, SALES, Report, StatementQuestion, Transaction
from ...foundation import log
from ..protocols import Capabilities, SupplierError
from . import folder, hot, layout

MOST_AGENTS = 50
SHOWN = 5
"""References and days named in a text."""

_log = log.get(__name__)


class StatementFiles:
    """The driver. ``numbers`` gives the agency's IATA numbers, as the operator wrote them.

    Files are read in a thread of its own, one fetch at a time: a large one takes seconds.
    """

    name = "bsp"
    capabilities = Capabilities(methods=frozenset({"fetch"}), honours_keys=False, looks_up=False)

    def __init__(self, where: Path | None, numbers: Callable[[], Awaitable[str]]) -> None:
        self._where = where
        self._numbers = numbers
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bsp")

    async def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, question: StatementQuestion) -> Report:
        """The statement of exactly this country and period, verified.

        ``not_found`` if there is none, ``validation_failed`` with file, line and rule if a file is broken.
        """
        if self._where is None:
            raise SupplierError("capability_not_supported", "no statements of a BSP are set up here", sent=False)
        agents = agents_of(await self._numbers())
        if not agents:
            raise SupplierError("authentication", "the agency's IATA number is none", sent=False)
        stop = threading.Event()
        try:
            reading = asyncio.get_running_loop().run_in_executor(
                self._thread, _read, self._where, agents, question, stop
            )
            return await reading
        except OSError as failure:
            _log.error("bsp_folder_not_read", exc_info=failure)
            raise SupplierError("transient", "the statements cannot be read now") from failure
        finally:
            stop.set()


def agents_of(numbers: str) -> tuple[str, ...]:
    """The IATA numbers of an agency, separated by commas, with eight digits each; none if one of them is wrong."""
    codes = [layout.agent_code(each) for each in numbers.split(",")]
    known = tuple(dict.fromkeys(code for code in codes if code is not None))
    return known if len(codes) <= MOST_AGENTS and None not in codes else ()


@dataclass(frozen=True, slots=True)
class _Part:
    """What one file bills the agency for the period."""

    name: str
    file: hot.File
    currency: str
    transactions: tuple[Transaction, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """By content, so that the name of a file changes nothing."""
        first = self.transactions[0].document_number if self.transactions else ""
        return (self.file.airline, self.file.sequence, self.file.processed, self.currency, first)


def _read(where: Path, agents: Collection[str], question: StatementQuestion, stop: threading.Event) -> Report:
    found = folder.search(where, agents, question, stop)
    if not found.files:
        raise SupplierError("not_found", _nothing(found.other_ends, question))
    opened = found.opened_after(question)
    if opened is not None and opened >= question.period_start:
        text = f"another billing period ends on {opened}, so this one begins on {_next(opened)} at the earliest"
        raise SupplierError("not_found", text)
    parts = [_part(path, agents, question, stop) for path in found.files]
    taken = _without_copies(sorted(parts, key=lambda part: part.order))
    transactions = tuple(each for part in taken for each in part.transactions)
    if len(transactions) > MOST_TRANSACTIONS:
        raise SupplierError("permanent", f"the statement has more than {MOST_TRANSACTIONS:,} transactions")
    _check_days(transactions, question, opened)
    airlines = {part.file.airline for part in taken} | {each.airline for each in transactions}
    return Report(
        agents=tuple(sorted(agents)),
        country=question.country,
        period_start=question.period_start,
        period_end=question.period_end,
        airline=next(iter(airlines)) if len(airlines) == 1 else None,
        currency=taken[0].currency,
        transactions=transactions,
        source_ref=_named([part.file.reference for part in taken]),
    )


def _part(path: Path, agents: Collection[str], question: StatementQuestion, stop: threading.Event) -> _Part:
    try:
        file = hot.read(folder.lines(path, stop), frozenset(agents))
    except hot.BrokenFile as broken:
        _log.warning("bsp_file_broken", file=path.name, reason=str(broken))
        raise SupplierError("validation_failed", f"the file {_plain(path.name)} is broken: {broken}") from broken
    cycles = [each for each in file.cycles if each.is_final and each.period_end == question.period_end]
    offices = [office for cycle in cycles for office in cycle.offices if office.agent in agents]
    transactions = tuple(each for office in offices for each in office.transactions)
    return _Part(path.name, file, offices[0].currency[:3], transactions)


def _without_copies(parts: list[_Part]) -> list[_Part]:
    """The files without copies of one another. Two that differ about one document are both in doubt."""
    taken: list[_Part] = []
    owners: dict[tuple[str, str], _Part] = {}
    for part in parts:
        lines = {(each.document_number, each.kind) for each in part.transactions}
        others = [owners[line] for line in lines if line in owners]
        if not others:
            taken.append(part)
            owners |= dict.fromkeys(lines, part)
        elif any(set(other.transactions) != set(part.transactions) for other in others):
            names = " and ".join(sorted({_plain(part.name), *(_plain(other.name) for other in others)}))
            raise SupplierError("conflict", f"the files {names} differ about the same documents")
    return taken


def _check_days(transactions: Collection[Transaction], question: StatementQuestion, opened: date | None) -> None:
    """A file names the last day of its period and not the first: sales show whether it began earlier.

    One of a day up to the end of the period before is reported late.
    """
    days = [each.issue_date for each in transactions if each.kind in SALES]
    early = [day for day in days if day < question.period_start and (opened is None or day > opened)]
    if early:
        raise SupplierError("not_found", f"the period that ends on {question.period_end} has a sale of {min(early)}")
    if any(day > question.period_end for day in days):
        raise SupplierError("validation_failed", f"a sale of {max(days)} is later than the period it is billed in")


def _nothing(ends: Collection[date], question: StatementQuestion) -> str:
    text = f"no statement of this agency for {question.country} is of a period that ends on {question.period_end}"
    known = [day.isoformat() for day in sorted(ends, reverse=True)]
    return f"{text}; there are some that end on {_named(known, ', ')}" if known else text


def _next(day: date) -> date:
    return date.fromordinal(day.toordinal() + 1)


def _named(texts: list[str], between: str = "; ") -> str:
    more = f"{between}and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return between.join(texts[:SHOWN]) + more


def _plain(name: str) -> str:
    """A file's name for a text: printable, and not long."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in name[:100])
