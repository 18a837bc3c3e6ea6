"""Writes the table of OWASP ASVS items into docs/security.md: ``python tests/security/asvs.py``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_suffix(".toml")
PAGE = Path(__file__).parents[2] / "docs/security.md"
BEGIN, END = "<!-- asvs: made by tests/security/asvs.py -->", "<!-- asvs: end -->"


def items() -> list[dict[str, Any]]:
    """The items, as they are written down."""
    found: list[dict[str, Any]] = tomllib.loads(DATA.read_text("utf-8"))["item"]
    return found


def table() -> str:
    """The items as a table."""
    lines = ["| item | level | asks for | shown by | short of it |", "|---|---|---|---|---|"]
    for item in items():
        shown = "<br>".join(f"`{name}`" for name in item.get("tests", ()))
        lines.append(f"| {item['id']} | {item['level']} | {item['about']} | {shown} | {item.get('gap', '')} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
