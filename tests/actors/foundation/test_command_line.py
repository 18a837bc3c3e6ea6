"""Help says what a command does and how it ends, and each command has its name."""

from __future__ import annotations

import pytest

from voyagent.actors.foundation import command_line

COMMANDS = (
    "serve",
    "migrate",
    "openapi",
    "doctor",
    "seed",
    "audit verify",
    "supplier set agency duffel",
    "supplier list agency",
    "supplier remove agency duffel",
)


@pytest.mark.parametrize("words", ["", *COMMANDS])
def test_help_says_what_a_command_does_and_how_it_ends(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse([*words.split(), "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert len(text.partition("options:")[0].split()) > 15
    for status in (
        command_line.DONE,
        command_line.FAILED,
        command_line.MISCONFIGURED,
        command_line.FOUND,
        command_line.UNAVAILABLE,
        command_line.INTERRUPTED,
    ):
        assert f"\n  {status:<5}" in text


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_has_its_full_name_and_takes_embedded_before_and_behind_it(words: str) -> None:
    name = " ".join(word for word in words.split() if word not in {"agency", "duffel"})
    for given in ([*words.split()], ["--embedded", *words.split()], [*words.split(), "--embedded"]):
        parsed = command_line.parse(given)
        assert (parsed.command, "embedded" in parsed) == (name, "--embedded" in given)


def test_without_a_command_it_serves() -> None:
    assert command_line.parse([]).command == "serve"


@pytest.mark.parametrize("words", ["serv", "audit", "supplier", "supplier set", "migrate --wait soon", "serve now"])
def test_a_wrong_command_line_is_the_status_of_a_wrong_configuration(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(words.split())
    assert ended.value.code == command_line.MISCONFIGURED
    assert "usage: " in capsys.readouterr().err
