"""The table of proofs in ``docs/figures.md``: one row each, renewed by the run that proves it."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"
TITLE = "## Long runs"
HEAD = "| command | date | machine | figures |\n|---|---|---|---|\n"


def record(command: str, figures: str) -> None:
    """Print a proof's figures and put them into its row of the page."""
    row = f"| `{command}` | {datetime.now(UTC).date()} | {_machine()} | {figures} |\n"
    print(row, end="", flush=True)
    PAGE.write_text(with_row(PAGE.read_text(), command, row))


def with_row(page: str, command: str, row: str) -> str:
    """The page with this row in the table of proofs, in place of an earlier one of the same command."""
    if TITLE not in page:
        page = f"{page.rstrip()}\n\n{TITLE}\n\n{HEAD}"
    before, title, table = page.partition(TITLE)
    kept = re.sub(rf"^\| `{re.escape(command)}` \|.*\n", "", table, flags=re.MULTILINE)
    rows = list(re.finditer(r"^\|.*\n", kept, re.MULTILINE))
    end = rows[-1].end()
    return before + title + kept[:end] + row + kept[end:]


def _machine() -> str:
    names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), {memory:.0f} GB"
