"""The rows that proofs write into the page of figures."""

from __future__ import annotations

from tests.proofs.figures import HEAD, with_row

PAGE = "# Figures\n\nText.\n"


def row(command: str, figures: str) -> str:
    return f"| `{command}` | 2026-11-29 | 2 cores | {figures} |\n"


def test_the_first_row_makes_the_table() -> None:
    assert (
        with_row(PAGE, "make soak", row("make soak", "a")) == f"{PAGE}\n## Long runs\n\n{HEAD}{row('make soak', 'a')}"
    )


def test_a_row_replaces_the_earlier_one_of_its_command_and_leaves_the_others() -> None:
    page = with_row(with_row(PAGE, "make soak", row("make soak", "a")), "make fuzz", row("make fuzz", "b"))
    page += "\nMore text.\n"
    renewed = with_row(page, "make soak", row("make soak", "c"))
    assert renewed == page.replace(row("make soak", "a"), "").replace(
        row("make fuzz", "b"), row("make fuzz", "b") + row("make soak", "c")
    )
