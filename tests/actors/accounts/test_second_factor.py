"""The second factor: what turns it on and off, what a code is worth and how often, and how it lies at rest."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pyotp
import pytest

from tests.waiting import until
from voyagent.actors.accounts.second_factor import DisableTotp, NewSeed, SetUpTotp, SignInTotp, TotpSignedIn, VerifyTotp
from voyagent.actors.accounts.totp import Code, new_recovery_codes, otpauth_url, read_code, time_step_of
from voyagent.actors.domain.audit import Origin
from voyagent.actors.domain.errors import Refusal, Unauthorized
from voyagent.actors.domain.identity import Principal
from voyagent.storage.accounts.second_factor import Read
from voyagent.storage.engine import canary
from voyagent.storage.engine.pool import SYSTEM_ROLE, connect
from voyagent.storage.engine.resealing import Reseal
from voyagent.storage.engine.sealed_columns import COLUMNS
from voyagent.storage.engine.sealing import NotOpened, Sealing

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness
    from tests.conftest import Database

Refused = Callable[[Awaitable[Any]], Awaitable[str]]
ORIGIN = Origin(request_id="r-1", ip="192.0.2.7", user_agent="tests")
PASSWORD = "mango-trellis-47"
WRONG = "zzzzzz"
OLD, NEW, NEWER = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))


def code(harness: AccountsHarness, seed: str, steps: int = 0) -> str:
    """What the device shows now, or that many steps away."""
    return pyotp.TOTP(seed).at(harness.clock.now(), counter_offset=steps)


async def set_up(harness: AccountsHarness, who: Principal) -> str:
    made: NewSeed = await harness.ref.ask(SetUpTotp(principal=who))
    return made.secret


async def verify(harness: AccountsHarness, who: Principal, typed: str) -> list[str] | None:
    codes: list[str] | None = await harness.ref.ask(VerifyTotp(principal=who, code=typed, origin=ORIGIN))
    return codes


async def disable(harness: AccountsHarness, who: Principal, typed: str, password: str = PASSWORD) -> None:
    await harness.ref.ask(DisableTotp(principal=who, password=password, code=typed, origin=ORIGIN))


async def enter(harness: AccountsHarness, typed: str, password: str = PASSWORD) -> TotpSignedIn:
    message = SignInTotp(email="asha@example.com", password=password, code=typed, origin=ORIGIN)
    entered: TotpSignedIn = await harness.ref.ask(message)
    return entered


async def turned_on(harness: AccountsHarness) -> tuple[Principal, str, list[str]]:
    who = (await harness.sign_up()).principal
    seed = await set_up(harness, who)
    codes = await verify(harness, who, code(harness, seed))
    assert codes is not None
    return who, seed, codes


def test_a_code_is_read_as_people_type_it() -> None:
    assert read_code(" 123 456") == Code("totp", "123456")
    assert read_code("ab2d efg9") == Code("recovery", "AB2DEFG9")
    for typed in ("123-456", "123\u2011456", "\u00a0123\u200b456\n", "1 2 3 4 5 6"):
        assert read_code(typed) == Code("totp", "123456")
    for typed in ("JMZ8-A91N", "jmz8 a9in", "JMZ8\u2013A9LN", "jmz8a9ln"):
        assert read_code(typed) == Code("recovery", "JMZ8A91N")
    assert read_code("OOOO-0000") == Code("recovery", "00000000")
    for typed in ("12345", "1234567", "ABCDEFGU", "\u0661\u0662\u0663\u0664\u0665\u0666", "abcdef"):
        assert read_code(typed) is None


def test_the_url_names_the_person_and_the_service() -> None:
    expected = "otpauth://totp/Voyagent:asha%40example.com?secret=ABC&issuer=Voyagent"
    assert otpauth_url("ABC", "asha@example.com") == expected


async def test_a_code_is_good_one_step_to_either_side(harness: AccountsHarness) -> None:
    seed = pyotp.random_base32()
    present = int(harness.clock.now().timestamp()) // 30
    for steps in (-1, 0, 1):
        assert time_step_of(seed, Code("totp", code(harness, seed, steps)), harness.clock.now()) == present + steps
    for steps in (-2, 2):
        assert time_step_of(seed, Code("totp", code(harness, seed, steps)), harness.clock.now()) is None


def test_recovery_codes_are_ten_that_differ() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{8}", one) for one in codes)


async def test_r2_a_password_alone_does_not_pass(harness: AccountsHarness, refusal: Refused) -> None:
    await turned_on(harness)
    before = await harness.count("auth_families")
    assert await refusal(harness.sign_in()) == "totp_required"
    assert await refusal(enter(harness, WRONG)) == "totp_invalid"
    assert await harness.count("auth_families") == before


async def test_r2_refusals_come_in_their_order(harness: AccountsHarness, refusal: Refused) -> None:
    who = (await harness.sign_up()).principal
    assert await refusal(enter(harness, "123456")) == "totp_not_enabled"
    assert await refusal(enter(harness, "123456", "another-one-12")) == "invalid_credentials"
    assert await refusal(verify(harness, who, "123456")) == "totp_not_initialized"
    await harness.db.execute("UPDATE users SET is_active = false")
    assert await refusal(enter(harness, "123456")) == "account_inactive"
    assert await refusal(set_up(harness, who)) == "unauthorized"
    assert len(await until(lambda: harness.events("auth.sign_in_failed"))) >= 1


async def test_r3_the_factor_ends_only_by_password_and_code(harness: AccountsHarness, refusal: Refused) -> None:
    who, seed, _ = await turned_on(harness)
    assert await refusal(set_up(harness, who)) == "totp_already_enabled"
    assert await refusal(verify(harness, who, WRONG)) == "totp_invalid"
    assert await refusal(disable(harness, who, code(harness, seed), "another-one-12")) == "invalid_password"
    assert await refusal(disable(harness, who, WRONG)) == "totp_invalid"
    assert await verify(harness, who, code(harness, seed)) is None
    assert (await enter(harness, code(harness, seed))).recovery_codes_left is None
    await disable(harness, who, code(harness, seed))
    await harness.sign_in()
    assert await harness.count("recovery_codes") == 0
    assert [json.loads(e["said"])["method"] for e in await harness.events("auth.totp_disabled")] == ["totp"]


async def test_r3_a_waiting_seed_asks_for_nothing_and_stays_when_there_is_nothing_to_turn_off(
    harness: AccountsHarness,
) -> None:
    who = (await harness.sign_up()).principal
    await set_up(harness, who)
    seed = await set_up(harness, who)
    await harness.sign_in()
    await disable(harness, who, WRONG)
    assert await verify(harness, who, code(harness, seed))


async def test_r4_a_code_signs_in_once_and_so_do_earlier_ones(harness: AccountsHarness, refusal: Refused) -> None:
    _, seed, _ = await turned_on(harness)
    await enter(harness, code(harness, seed))
    assert await refusal(enter(harness, code(harness, seed))) == "totp_invalid"
    assert await refusal(enter(harness, code(harness, seed, -1))) == "totp_invalid"
    await enter(harness, code(harness, seed, 1))


@pytest.mark.parametrize("recovery", [False, True])
async def test_r4_of_sixteen_at_once_one_comes_in(harness: AccountsHarness, recovery: bool) -> None:
    _, seed, codes = await turned_on(harness)
    typed = codes[0] if recovery else code(harness, seed)
    outcomes = await asyncio.gather(*(enter(harness, typed) for _ in range(16)), return_exceptions=True)
    assert sum(isinstance(one, TotpSignedIn) for one in outcomes) == 1
    refused = [one.code for one in outcomes if isinstance(one, Refusal)]
    assert refused == ["totp_invalid"] * 15


async def test_r5_one_code_serves_all_three_and_wrong_ones_burn_nothing(
    harness: AccountsHarness, refusal: Refused
) -> None:
    who = (await harness.sign_up()).principal
    seed = await set_up(harness, who)
    right = code(harness, seed)
    assert await refusal(verify(harness, who, WRONG)) == "totp_invalid"
    assert await verify(harness, who, right)
    assert await refusal(enter(harness, WRONG)) == "totp_invalid"
    await enter(harness, right)
    assert await refusal(disable(harness, who, WRONG)) == "totp_invalid"
    await disable(harness, who, right)
    await harness.sign_in()


async def test_r6_seeds_and_recovery_codes_cannot_be_read_at_rest(harness: AccountsHarness) -> None:
    who, seed, codes = await turned_on(harness)
    ring = Sealing({"default": bytes(range(32))})
    sealed = await harness.db.fetchval("SELECT totp_sealed FROM users")
    place = {"table": "users", "column": "totp_sealed"}
    assert ring.open(sealed, row=who.user_id, **place) == seed.encode()
    with pytest.raises(NotOpened):
        ring.open(sealed, row=who.tenant_id, **place)
    kept = await harness.db.fetch("SELECT u::text AS text FROM users u UNION ALL SELECT r::text FROM recovery_codes r")
    stored = "".join(row["text"] for row in kept).lower()
    for secret in (seed, *codes):
        assert secret.lower() not in stored
        assert secret.encode().hex() not in stored
    assert {row["key_id"] for row in await harness.db.fetch("SELECT key_id FROM recovery_codes")} == {"default"}


async def test_r6_a_seed_that_stands_in_anothers_row_opens_nothing(harness: AccountsHarness, refusal: Refused) -> None:
    who, seed, _ = await turned_on(harness)
    outsider = Sealing({"default": bytes(range(32))}).seal(
        seed.encode(), table="users", column="totp_sealed", row=who.tenant_id
    )
    await harness.db.execute("UPDATE users SET totp_sealed = $1", outsider)
    assert await refusal(enter(harness, code(harness, seed))) == "internal_error"
    assert await refusal(harness.sign_in()) == "totp_required", "the owner of accounts goes on"


async def test_r7_a_lost_device_is_no_lost_account(harness: AccountsHarness, refusal: Refused) -> None:
    who, _, codes = await turned_on(harness)
    entered = await enter(harness, codes[0].lower())
    assert entered.recovery_codes_left == 9
    assert await refusal(enter(harness, codes[0])) == "totp_invalid"
    assert await refusal(disable(harness, who, codes[0])) == "totp_invalid"
    assert await refusal(verify(harness, who, codes[1])) == "totp_invalid"
    await disable(harness, who, codes[1])
    await harness.sign_in()
    (used,) = await harness.events("auth.recovery_code_used")
    assert json.loads(used["said"])["left"] == 9


async def rotated(harness: AccountsHarness, database: Database, *rings: dict[str, bytes]) -> None:
    """Starts with these rings, one after the other, that seal everything again each time."""
    for ring in rings:
        system = await connect(database.url, role=SYSTEM_ROLE)
        assert await canary.faults(system, ring) == []
        await canary.keep(system, ring)
        await system.close()
        for column in COLUMNS:
            await harness.storage.ask(Reseal(column=column.name, sealing=Sealing(ring)))
    harness.start(kms_key=rings[-1])


async def test_r7_codes_and_devices_work_on_when_the_key_they_were_kept_under_has_gone(
    harness: AccountsHarness, database: Database
) -> None:
    await rotated(harness, database, {"default": OLD})
    _, seed, codes = await turned_on(harness)
    await rotated(harness, database, {"new": NEW, "default": OLD})
    assert (await enter(harness, codes[0])).recovery_codes_left == 9
    await rotated(harness, database, {"new": NEW})
    assert (await enter(harness, codes[1])).recovery_codes_left == 8
    assert (await enter(harness, code(harness, seed))).recovery_codes_left is None
    await rotated(harness, database, {"newer": NEWER, "new": NEW}, {"newer": NEWER})
    assert (await enter(harness, codes[2])).recovery_codes_left == 7
    await harness.clock.advance(60.0)
    await enter(harness, code(harness, seed))


async def test_a_seed_that_is_sealed_again_after_it_was_read_is_read_again(harness: AccountsHarness) -> None:
    """A right code stays right, in each of its three uses."""
    who = (await harness.sign_up()).principal
    seed = await set_up(harness, who)
    ring = Sealing({"new": NEW, "default": OLD})
    harness.start(kms_key={"new": NEW, "default": OLD})

    async def while_resealed(column: str, work: Coroutine[Any, Any, Any]) -> Any:
        with harness.storage.hold(Read):
            working = asyncio.create_task(work)
            await harness.storage.arrived.wait()
            assert (await harness.storage.ask(Reseal(column=column, sealing=ring))).done == 1
        return await working

    assert await while_resealed("users.totp_pending_sealed", verify(harness, who, code(harness, seed)))
    place = {"table": "users", "column": "totp_sealed", "row": who.user_id}
    for attempt in (enter(harness, code(harness, seed)), disable(harness, who, code(harness, seed))):
        older = Sealing({"default": OLD}).seal(seed.encode(), **place)
        await harness.db.execute("UPDATE users SET totp_sealed = $1", older)
        await while_resealed("users.totp_sealed", attempt)
    await harness.sign_in()
    assert await harness.events("auth.sign_in_failed") == []


async def test_a_code_of_a_seed_that_was_replaced_after_it_was_read_is_wrong(
    harness: AccountsHarness, refusal: Refused
) -> None:
    who, seed, _ = await turned_on(harness)
    other = Sealing({"default": OLD}).seal(
        pyotp.random_base32().encode(), table="users", column="totp_sealed", row=who.user_id
    )
    for attempt in (enter(harness, code(harness, seed)), disable(harness, who, code(harness, seed))):
        before = await harness.db.fetchval("SELECT totp_sealed FROM users")
        with harness.storage.hold(Read):
            trying = asyncio.create_task(refusal(attempt))
            await harness.storage.arrived.wait()
            await harness.db.execute("UPDATE users SET totp_sealed = $1", other)
        assert await trying == "totp_invalid"
        await harness.db.execute("UPDATE users SET totp_sealed = $1", before)


async def test_r40_a_person_who_has_gone_is_nobody(harness: AccountsHarness) -> None:
    who, seed, _ = await turned_on(harness)
    await harness.db.execute("UPDATE users SET released_at = now()")
    for attempt in (
        set_up(harness, who),
        verify(harness, who, code(harness, seed)),
        disable(harness, who, code(harness, seed)),
    ):
        with pytest.raises(Unauthorized, match="unauthorized"):
            await attempt
