"""The QR code of a TOTP secret, as rows of modules that any client can draw."""

from __future__ import annotations

from voyagent.actors.accounts.second_factor import NewSeed
from voyagent.actors.accounts.totp import new_seed, otpauth_url
from voyagent.http.schemas.second_factor import TotpSetupResponse

FINDER = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]


def test_a_code_is_a_square_with_its_three_finder_patterns() -> None:
    seed = new_seed()
    rows = TotpSetupResponse.of(NewSeed(seed, otpauth_url(seed, "asha@example.com"))).qr_modules

    assert {len(row) for row in rows} == {len(rows)}
    assert set("".join(rows)) == {"0", "1"}
    assert [row[:7] for row in rows[:7]] == [row[-7:] for row in rows[:7]] == [row[:7] for row in rows[-7:]] == FINDER


def test_the_longest_address_still_has_a_code() -> None:
    seed = new_seed()
    url = otpauth_url(seed, f"{'ä' * 60}@{'.'.join(['example'] * 20)}.com")
    rows = TotpSetupResponse.of(NewSeed(seed, url)).qr_modules
    assert len(rows) <= 177
