"""What is sealed is unreadable, and opens in its own place only."""

from __future__ import annotations

import pytest

from voyagent.storage.engine.sealing import NotOpened, Sealing, key_id

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
PLACE = {"table": "users", "column": "totp_sealed", "row": "r-1"}


def test_r59_what_is_sealed_is_unreadable_and_opens_again() -> None:
    sealing = Sealing({"a": OLD})
    sealed = sealing.seal(b"the seed", **PLACE)
    assert b"seed" not in sealed
    assert sealing.open(sealed, **PLACE) == b"the seed"
    assert sealing.seal(b"the seed", **PLACE) != sealed
    assert sealing.open(sealing.seal(b"", **PLACE), **PLACE) == b""


@pytest.mark.parametrize("moved", [{"table": "invites"}, {"column": "totp_pending_sealed"}, {"row": "r-2"}])
def test_r59_what_was_moved_to_another_place_does_not_open(moved: dict[str, str]) -> None:
    sealing = Sealing({"a": OLD})
    sealed = sealing.seal(b"the seed", **PLACE)
    with pytest.raises(NotOpened):
        sealing.open(sealed, **PLACE | moved)


def test_r59_places_cannot_be_made_to_run_into_each_other() -> None:
    sealing = Sealing({"a": OLD})
    sealed = sealing.seal(b"x", table="ab", column="c", row='d","e')
    with pytest.raises(NotOpened):
        sealing.open(sealed, table="a", column="bc", row='d","e')


def test_r59_every_altered_byte_is_noticed() -> None:
    sealing = Sealing({"a": OLD})
    sealed = sealing.seal(b"the seed", **PLACE)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(NotOpened):
            sealing.open(bytes(altered), **PLACE)
    for length in range(len(sealed)):
        with pytest.raises(NotOpened):
            sealing.open(sealed[:length], **PLACE)


def test_r24_the_first_key_seals_and_all_open() -> None:
    before = Sealing({"a": OLD}).seal(b"x", **PLACE)
    ring = Sealing({"b": NEW, "a": OLD})
    assert ring.open(before, **PLACE) == b"x"
    assert key_id(before) == "a"
    assert key_id(ring.seal(b"x", **PLACE)) == "b"
    with pytest.raises(NotOpened):
        Sealing({"b": NEW}).open(before, **PLACE)


def test_r59_a_key_of_the_same_name_is_not_the_same_key() -> None:
    with pytest.raises(NotOpened):
        Sealing({"a": NEW}).open(Sealing({"a": OLD}).seal(b"x", **PLACE), **PLACE)


def test_r59_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(RuntimeError, match="VOYAGENT_KMS_KEY"):
        Sealing({}).seal(b"x", **PLACE)
