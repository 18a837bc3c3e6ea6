"""Signed heads of the audit chains: what the file says is what was signed, or it is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.manual_clock import ManualClock
from voyagent.actors.foundation.config import Settings
from voyagent.actors.signed_heads import HeadFile, HeadSigner, NotSigned
from voyagent.storage.audit_chain import Point
from voyagent.storage.audit_heads import Heads, ReadHeads

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = {"a": b"a" * 32}, {"b": b"b" * 32, "a": b"a" * 32}
HEADS = {"agency-1": Point(3, "1" * 64), "agency-2": Point(7, "2" * 64)}


class Store:
    """Answers with these heads; the known rows of ``lost`` are gone."""

    def __init__(self, now: dict[str, Point], lost: frozenset[str] = frozenset()) -> None:
        self.now, self.lost = now, lost
        self.known: dict[str, Point] = {}

    async def ask(self, message: ReadHeads, within: float) -> Heads:
        assert within > 0
        self.known = dict(message.known)
        return Heads(self.now, self.lost)


def signer(folder: Path, store: Any) -> HeadSigner:
    settings = Settings.load(environ={"VOYAGENT_ENV": "development", "VOYAGENT_DATA_DIR": str(folder)})
    return HeadSigner(store=store, settings=settings, clock=ManualClock())


def test_what_is_signed_is_read_back_after_a_key_was_rotated_too(tmp_path: Path) -> None:
    assert HeadFile(tmp_path, OLD).read() == {}
    HeadFile(tmp_path, OLD).write(HEADS, NOW)
    assert HeadFile(tmp_path, NEW).read() == HEADS
    HeadFile(tmp_path, NEW).write(HEADS, NOW)
    with pytest.raises(NotSigned, match="line 1 is signed with key 'b', which VOYAGENT_KMS_KEY has not"):
        HeadFile(tmp_path, OLD).read()


def test_a_key_that_has_signed_and_is_missing_is_told_with_what_to_do(tmp_path: Path) -> None:
    assert HeadFile(tmp_path, OLD).faults() == []
    HeadFile(tmp_path, OLD).write(HEADS, NOW)
    assert HeadFile(tmp_path, NEW).faults() == []
    (fault,) = HeadFile(tmp_path, {"b": b"b" * 32}).faults()
    assert fault.startswith("VOYAGENT_KMS_KEY: key 'a' is missing, which has signed ")
    assert "(2 lines): put it back behind the key that seals" in fault
    file = HeadFile(tmp_path, NEW)
    file.path.write_text("what is no line\n" + file.path.read_text())
    assert dict(file.key_ids()) == {"a": 2}


def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="VOYAGENT_KMS_KEY"):
        HeadFile(tmp_path, {}).write(HEADS, NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"agency": "x"}, {"seq": 2}, {"hash": "f"}, {"signed_at": ""}, {"mac": "é"}])
def test_a_changed_line_is_named(change: dict[str, Any], tmp_path: Path) -> None:
    file = HeadFile(tmp_path, OLD)
    file.write(HEADS, NOW)
    first, second = file.path.read_text().splitlines()
    file.path.write_text(f"{first}\n{json.dumps({**json.loads(second), **change})}\n")
    with pytest.raises(NotSigned, match="line 2 has another signature"):
        file.read()


@pytest.mark.parametrize("line", ["", "[]", "null", "{}", "{", '{"mac":"0"}', '{"mac":"0","key_id":[]}'])
def test_a_line_that_is_none_is_named(line: str, tmp_path: Path) -> None:
    file = HeadFile(tmp_path, OLD)
    file.write({}, NOW)
    file.path.write_text(line + "\n")
    with pytest.raises(NotSigned, match="line 1 cannot be read"):
        file.read()


async def test_b40_the_head_of_a_chain_that_lost_its_row_is_not_signed_anew(tmp_path: Path) -> None:
    store = Store(HEADS)
    one = signer(tmp_path, store)
    await one.sign(1.0)
    store.now = {"agency-1": Point(9, "9" * 64), "agency-2": Point(6, "6" * 64), "agency-3": Point(1, "3" * 64)}
    store.lost = frozenset({"agency-2"})
    await one.sign(1.0)
    assert store.known == HEADS
    await one.sign(1.0)
    assert store.known == {**store.now, "agency-2": HEADS["agency-2"]}
