"""Passport numbers on file: sealed to their row, one person's each, and under the newest key after a while."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest
from pydantic import SecretStr

from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.storage.engine.resealing import Reseal, Resealed
from voyagent.storage.engine.sealing import NotOpened, Sealing
from voyagent.storage.travel import passports
from voyagent.storage.travel.passengers import Load, PassportTaken, Saved, Upsert
from voyagent.storage.travel.passports import Passport

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
RING = Sealing({"old": OLD})
NUMBER = "Z1234567"
COLUMN = "passengers.passport_sealed"


class People:
    """An agency's passengers, written with one ring of keys."""

    def __init__(self, agency: Any, clock: ManualClock, ring: Sealing = RING) -> None:
        self.agency, self.clock, self.ring = agency, clock, ring

    async def save(self, name: str, number: str | None = NUMBER, who: str | None = None, **given: Any) -> Any:
        wanted = Upsert(
            tenant_id=self.agency.tenant_id,
            new_id=ids.uuid7(),
            passenger_id=who,
            full_name=name,
            given=given,
            now=self.clock.now(),
            passport=None if number is None else Passport(SecretStr(number), self.ring),
        )
        return await self.agency.store.ask(wanted)

    async def read(self, who: str) -> Any:
        [person] = await self.agency.store.ask(Load(tenant_id=self.agency.tenant_id, ids=[who]))
        return person

    async def number(self, who: str, ring: Sealing | None = None) -> str | None:
        return passports.opened(ring or self.ring, await self.read(who))


@pytest.fixture
def people(agency: Any, clock: ManualClock) -> People:
    return People(agency, clock)


async def test_b41_a_number_is_sealed_to_its_passenger_and_nothing_at_rest_tells_it(
    people: People, agency: Any
) -> None:
    asha = (await people.save("Asha Rao")).passenger_id
    row = await agency.db.fetchrow("SELECT *, t::text AS said FROM passengers t WHERE id = $1", asha)
    assert NUMBER.encode().hex() not in row["said"]
    assert NUMBER not in row["said"]
    assert row["passport_key_id"] == "old"
    person = await people.read(asha)
    assert passports.opened(RING, person) == NUMBER
    with pytest.raises(NotOpened):
        passports.number_of(RING, person.passport_sealed, ids.uuid7())
    assert NUMBER not in repr(person) + person.model_dump_json()
    assert NUMBER not in repr(Passport(SecretStr(NUMBER), RING))


async def test_equal_numbers_are_known_within_an_agency_and_not_across(people: People) -> None:
    mine = people.agency.tenant_id
    assert passports.digests(RING, NUMBER, mine) == passports.digests(RING, NUMBER, mine)
    assert passports.digests(RING, NUMBER, mine) != passports.digests(RING, NUMBER, ids.uuid7())
    assert passports.digests(RING, NUMBER, mine) != passports.digests(Sealing({"old": NEW}), NUMBER, mine)


async def test_a_number_is_one_persons_alone(people: People) -> None:
    asha = (await people.save("Asha Rao")).passenger_id
    ravi = (await people.save("Ravi Rao", None, email="ravi@example.com")).passenger_id
    taken = PassportTaken(passenger_id=asha)
    assert await people.save("Asha Rao") == taken
    assert await people.save("Ravi Rao", email="ravi@example.com") == taken
    assert await people.save("Ravi Rao", who=ravi) == taken
    assert (await people.read(ravi)).passport_sealed is None
    assert await people.save("Asha Rao", who=asha) == Saved(passenger_id=asha, created=False)


async def test_what_is_not_given_stays_and_another_number_takes_its_expiry_and_country_along(people: People) -> None:
    asha = (
        await people.save("Asha Rao", passport_expiry=date(2030, 1, 1), passport_country="IN", nationality="IN")
    ).passenger_id
    await people.save("Asha Rao", None, who=asha, phone="+919820012345")
    assert await people.number(asha) == NUMBER
    await people.save("Asha Rao", who=asha)
    assert (await people.read(asha)).passport_expiry == date(2030, 1, 1)
    before = (await people.read(asha)).fingerprint
    await people.save("Asha Rao", "Y7654321", who=asha)
    person = await people.read(asha)
    assert (person.passport_expiry, person.passport_country, person.nationality) == (None, None, "IN")
    assert await people.number(asha) == "Y7654321"
    assert person.fingerprint != before
    await people.save("Asha Rao", "X1111111", who=asha, passport_expiry=date(2031, 1, 1), passport_country="IN")
    person = await people.read(asha)
    assert (person.passport_expiry, person.passport_country) == (date(2031, 1, 1), "IN")


async def test_an_expiry_that_was_there_before_the_first_number_stays(people: People) -> None:
    asha = (await people.save("Asha Rao", None, passport_expiry=date(2030, 1, 1))).passenger_id
    await people.save("Asha Rao", who=asha)
    assert (await people.read(asha)).passport_expiry == date(2030, 1, 1)


async def test_of_sixteen_persons_with_one_number_at_once_one_has_it(people: People) -> None:
    results = await asyncio.gather(*(people.save(f"Person {chr(65 + n)}") for n in range(16)))
    saved = [each for each in results if isinstance(each, Saved)]
    assert len(saved) == 1
    assert {each.passenger_id for each in results} == {saved[0].passenger_id}


async def test_after_a_change_of_keys_numbers_are_known_and_resealed_and_the_old_key_can_go(
    people: People, agency: Any, clock: ManualClock
) -> None:
    asha = (await people.save("Asha Rao")).passenger_id
    ring, alone = Sealing({"new": NEW, "old": OLD}), Sealing({"new": NEW})
    rotated = People(agency, clock, ring)
    assert await rotated.save("Ravi Rao") == PassportTaken(passenger_id=asha)
    ravi = (await rotated.save("Ravi Rao", "Y7654321")).passenger_id
    assert await agency.store.ask(Reseal(column=COLUMN, sealing=ring)) == Resealed(done=1)
    assert [await rotated.number(who, alone) for who in (asha, ravi)] == [NUMBER, "Y7654321"]
    assert await People(agency, clock, alone).save("Anu Rao") == PassportTaken(passenger_id=asha)


async def test_a_number_that_was_altered_is_mended_by_giving_it_once_more(people: People, agency: Any) -> None:
    """As an operator is told to do, for what cannot be opened holds its key in the ring."""
    asha = (await people.save("Asha Rao", passport_expiry=date(2030, 1, 1))).passenger_id
    sealed = (await people.read(asha)).passport_sealed
    await agency.db.execute("UPDATE passengers SET passport_sealed = $1", sealed[:-1] + bytes([sealed[-1] ^ 1]))
    people.ring = Sealing({"new": NEW, "old": OLD})
    reseal = Reseal(column=COLUMN, sealing=people.ring)
    assert await agency.store.ask(reseal) == Resealed(done=0, not_opened=(asha,))
    await people.save("Asha Rao", who=asha)
    assert await people.number(asha, Sealing({"new": NEW})) == NUMBER
    assert (await people.read(asha)).passport_expiry == date(2030, 1, 1)
    assert await agency.store.ask(reseal) == Resealed(done=0)


async def test_a_number_that_is_resealed_while_its_passenger_changes_stays_so(
    people: People, agency: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asha = (await people.save("Asha Rao")).passenger_id
    people.ring = Sealing({"new": NEW, "old": OLD})
    write = Upsert._write

    async def after_resealing(self: Upsert, db: Any, known: Any) -> Saved:
        resealed = await agency.store.ask(Reseal(column=COLUMN, sealing=people.ring))
        assert resealed.done == 1
        return await write(self, db, known)

    monkeypatch.setattr(Upsert, "_write", after_resealing)
    await people.save("Asha Rao", who=asha, phone="+919820012345")
    assert (await people.read(asha)).phone == "+919820012345"
    assert await people.number(asha, Sealing({"new": NEW})) == NUMBER
