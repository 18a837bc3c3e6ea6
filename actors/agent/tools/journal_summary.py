"""A journal as its approver is shown it: in a line, and as the JSON it is bound to."""

from __future__ import annotations

from typing import Any

from ...domain.books import JournalEntry, Line
from .summary import code
from .summary import shown as words

NARRATION_SHOWN = 240
LINES_SHOWN = 600
"""Characters of a summary for the description and for the lines; the rest suffices for the totals."""


def bound(entry: JournalEntry) -> dict[str, Any]:
    """The whole journal as JSON."""
    return {
        "entry_date": entry.entry_date.isoformat(),
        "narration": entry.narration,
        "source_event": entry.source_event,
        "total_debits": [money.text for _, money in sorted(entry.debits.items())],
        "lines": [
            {
                "account_id": line.account.id,
                "code": line.account.code,
                "name": line.account.name,
                "side": line.side,
                "amount": line.money.text,
                "narration": line.memo,
            }
            for line in entry.lines
        ],
    }


def summary(entry: JournalEntry) -> str:
    """Date, totals and narration; as many journal lines as fit, and the number of the others."""
    total = ", ".join(money.text for _, money in sorted(entry.debits.items()))
    said = words(entry.narration, NARRATION_SHOWN)
    shown: list[str] = []
    for line in entry.lines:
        text = _line(line)
        if sum(map(len, shown)) + len(text) > LINES_SHOWN:
            shown.append(f"and {len(entry.lines) - len(shown)} more lines")
            break
        shown.append(text)
    return f"journal of {entry.entry_date}: {total}; {said}; {', '.join(shown)}"


def _line(line: Line) -> str:
    return f"{line.side} {code(line.account.code)} {words(line.account.name)} {line.money.text}"
