"""People on file: who is the same person, what a change keeps, and who finds them."""

from __future__ import annotations

import asyncio
import unicodedata
from datetime import date
from typing import Any, Protocol

import pytest

from tests.figures import counted
from tests.manual_clock import ManualClock
from voyagent.actors.domain import ids
from voyagent.actors.domain.travel import Passenger
from voyagent.actors.foundation.metrics import STORAGE_RETRIES_TOTAL
from voyagent.storage.travel import passengers
from voyagent.storage.travel.passengers import Load, Saved, Search, Taken, Upsert


class AgencyLike(Protocol):
    tenant_id: str
    store: Any
    db: Any


@pytest.fixture
def now(clock: ManualClock) -> Any:
    return clock.now()


async def upsert(
    agency: AgencyLike, now: Any, full_name: str, passenger_id: str | None = None, **given: Any
) -> Saved | Taken | None:
    wanted = Upsert(
        tenant_id=agency.tenant_id,
        new_id=ids.uuid7(),
        passenger_id=passenger_id,
        full_name=full_name,
        given=given,
        now=now,
    )
    return await agency.store.ask(wanted)  # type: ignore[no-any-return]


async def created(agency: AgencyLike, now: Any, full_name: str, **given: Any) -> str:
    saved = await upsert(agency, now, full_name, **given)
    assert isinstance(saved, Saved)
    assert saved.created
    return saved.passenger_id


async def read(agency: AgencyLike, passenger_id: str) -> Passenger:
    [person] = await agency.store.ask(Load(tenant_id=agency.tenant_id, ids=[passenger_id]))
    return person  # type: ignore[no-any-return]


async def names(agency: AgencyLike, text: str, limit: int = 20) -> list[str]:
    found = await agency.store.ask(Search(tenant_id=agency.tenant_id, text=text, limit=limit))
    return [person.full_name for person in found]


async def test_a_person_is_kept_as_given(agency: AgencyLike, now: Any) -> None:
    given: dict[str, Any] = {
        "given_name": "Asha",
        "family_name": "Rao",
        "title": "dr",
        "type": "senior",
        "gender": "F",
        "email": "asha@example.com",
        "phone": "+919820012345",
        "date_of_birth": date(1950, 2, 28),
        "nationality": "IN",
        "passport_expiry": date(2030, 1, 1),
    }
    saved = await created(agency, now, "Asha Devi Rao", **given)
    assert await read(agency, saved) == Passenger(id=saved, full_name="Asha Devi Rao", **given)


async def test_a_name_alone_is_enough(agency: AgencyLike, now: Any) -> None:
    person = await read(agency, await created(agency, now, "Asha Rao"))
    assert (person.given_name, person.family_name, person.type) == ("Asha", "Rao", "adult")
    assert (await read(agency, await created(agency, now, "Suharto"))).missing == ("given_name",)


async def test_the_same_address_and_name_are_the_same_person(agency: AgencyLike, now: Any) -> None:
    first = await created(agency, now, "Asha Rao", email="asha@example.com", phone="+919820012345")
    again = await upsert(agency, now, "asha RAO", email="asha@example.com", nationality="IN")
    assert again == Saved(passenger_id=first, created=False)
    person = await read(agency, first)
    assert (person.full_name, person.phone, person.nationality) == ("asha RAO", "+919820012345", "IN")


async def test_a_family_shares_an_address(agency: AgencyLike, now: Any) -> None:
    first = await created(agency, now, "Asha Rao", email="rao@example.com")
    second = await created(agency, now, "Ravi Rao", email="rao@example.com")
    assert first != second


async def test_without_an_address_a_name_may_be_anybodys(agency: AgencyLike, now: Any) -> None:
    assert await created(agency, now, "Asha Rao") != await created(agency, now, "Asha Rao")


async def test_what_is_not_said_is_kept_and_the_split_follows_the_name(agency: AgencyLike, now: Any) -> None:
    person_id = await created(agency, now, "Asha Rao", given_name="Asha Devi", email="asha@example.com", type="child")
    assert await upsert(agency, now, "Asha Rao", person_id, title="ms") == Saved(passenger_id=person_id, created=False)
    kept = await read(agency, person_id)
    assert (kept.given_name, kept.email, kept.type, kept.title) == ("Asha Devi", "asha@example.com", "child", "ms")
    await upsert(agency, now, "Asha Iyer", person_id)
    married = await read(agency, person_id)
    assert (married.given_name, married.family_name, married.email) == ("Asha", "Iyer", "asha@example.com")


async def test_nobody_becomes_somebody_else_on_file(agency: AgencyLike, now: Any) -> None:
    asha = await created(agency, now, "Asha Rao", email="rao@example.com")
    ravi = await created(agency, now, "Ravi Rao", email="rao@example.com")
    assert await upsert(agency, now, "Asha Rao", ravi) == Taken(passenger_id=asha)
    assert (await read(agency, ravi)).full_name == "Ravi Rao"


async def test_an_unknown_person_is_not_changed_into_being(agency: AgencyLike, now: Any) -> None:
    assert await upsert(agency, now, "Asha Rao", ids.uuid7()) is None
    assert await names(agency, "Asha") == []


async def test_sixteen_at_once_are_one_person(agency: AgencyLike, now: Any) -> None:
    saved = await asyncio.gather(*(upsert(agency, now, "Asha Rao", email="asha@example.com") for _ in range(16)))
    assert len({each.passenger_id for each in saved if each is not None}) == 1
    assert sum(isinstance(each, Saved) and each.created for each in saved) == 1


async def test_persons_are_loaded_in_the_order_asked_for(agency: AgencyLike, now: Any) -> None:
    people = [await created(agency, now, name) for name in ("Asha Rao", "Ravi Rao", "Mira Rao")]
    wanted = [people[2], ids.uuid7(), people[0]]
    found = await agency.store.ask(passengers.Load(tenant_id=agency.tenant_id, ids=wanted))
    assert [person.id for person in found] == [people[2], people[0]]


async def test_persons_are_found_by_parts_of_name_address_and_number(agency: AgencyLike, now: Any) -> None:
    await created(agency, now, "Asha Rao", email="a.rao@example.com")
    await created(agency, now, "Émile Zola", phone="+33123456789")
    assert await names(agency, "ASH") == ["Asha Rao"]
    assert await names(agency, "A.rao@") == ["Asha Rao"]
    assert await names(agency, "12345678") == ["Émile Zola"]
    assert await names(agency, "émile") == ["Émile Zola"]
    assert await names(agency, "nobody") == []


SPELLINGS = {
    "Seán O'Brien": ["Sean", "sean obrien", "O\u2019Brien", "obrien", "O Brien", "SEÁN", "Sea\u0301n", "brien sean"],
    "José María Núñez": ["nunez", "jose nunez", "Jose Maria", "josemaria", "NÚÑEZ", "Jose-Maria"],
    "Søren Łukasz Ærø": ["soren", "lukasz", "aero"],
    "İbrahim Y\u0131ld\u0131z": ["ibrahim", "yildiz"],
    "Jean-Luc Mac Donald": ["jean luc", "jeanluc", "macdonald", "MacDonald"],
    "Jürgen Groß": ["jurgen", "gross", "GROSS"],
    "राम शर्मा": ["राम", "शर्मा"],
    "\uff32\uff41\uff4f Asha": ["rao"],
}


@pytest.mark.parametrize("name", SPELLINGS)
async def test_a_name_is_found_and_known_again_however_it_is_written(agency: AgencyLike, now: Any, name: str) -> None:
    asha = await created(agency, now, "Asha Iyer", email="a@example.com")
    person = await created(agency, now, name, email="someone@example.com")
    for written in SPELLINGS[name]:
        assert await names(agency, written) == [name], written
    variants = {name.upper(), unicodedata.normalize("NFD", name), name.replace("'", "\u2019"), name.replace("-", " ")}
    for variant in variants | {name.replace(" ", "  ").replace("'", "")}:
        saved = await upsert(agency, now, variant, email="Someone@example.com")
        assert saved == Saved(passenger_id=person, created=False), variant
    assert await upsert(agency, now, name, asha, email="someone@example.com") == Taken(passenger_id=person)


@pytest.mark.parametrize(("one", "other"), [("राम शर्मा", "रीमा शर्मा"), ("かき", "がき"), ("Asha Rao", "Usha Rao")])
async def test_other_names_are_other_people(agency: AgencyLike, now: Any, one: str, other: str) -> None:
    first = await created(agency, now, one, email="a@example.com")
    assert await created(agency, now, other, email="a@example.com") != first


async def test_sixteen_spellings_at_once_are_one_person(agency: AgencyLike, now: Any) -> None:
    written = ["Maeve O'Neil", "Maeve O\u2019Neil", "MAEVE ONEIL", "Máeve O'Neil"] * 4
    saved = await asyncio.gather(*(upsert(agency, now, each, email="m@example.com") for each in written))
    assert len({each.passenger_id for each in saved if each is not None}) == 1


WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND NOT granted
"""


async def test_a_change_and_a_repeated_entry_of_one_person_do_not_wait_for_each_other(
    agency: AgencyLike, now: Any
) -> None:
    asha = await created(agency, now, "Asha Rao", email="asha@example.com")
    before = counted(STORAGE_RETRIES_TOTAL, "deadlock")
    async with agency.db.transaction():
        await agency.db.execute("SELECT FROM passengers WHERE id = $1 FOR NO KEY UPDATE", asha)
        tasks: list[asyncio.Future[Saved | Taken | None]] = []
        for passenger_id in (asha, None):
            given = {"email": "asha@example.com", "phone": "+919820012345"}
            tasks.append(asyncio.ensure_future(upsert(agency, now, "Asha Rao", passenger_id, **given)))
            async with asyncio.timeout(10):
                while await agency.db.fetchval(WAITING) < len(tasks):  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0.001)
    assert await asyncio.gather(*tasks) == [Saved(passenger_id=asha, created=False)] * 2
    assert counted(STORAGE_RETRIES_TOTAL, "deadlock") == before


async def test_a_number_is_found_by_its_digits(agency: AgencyLike, now: Any) -> None:
    await created(agency, now, "Asha Rao", phone="+919820012345")
    for written in ("+91 98200 12345", "98200-12345", "(98200) 12345"):
        assert await names(agency, written) == ["Asha Rao"]
    assert await names(agency, "12 Rao") == []


async def test_b32_wildcards_are_letters_like_any_other(agency: AgencyLike, now: Any) -> None:
    await created(agency, now, "Asha Rao")
    odd = "100% O_Neil \\ Sons"
    await created(agency, now, odd)
    assert await names(agency, "%") == [odd]
    assert await names(agency, "_") == [odd]
    assert await names(agency, "\\") == [odd]
    assert await names(agency, "A_h") == []


async def test_the_list_is_by_name_and_no_longer_than_asked(agency: AgencyLike, now: Any) -> None:
    for name in ("Zoe Rao", "asha Rao", "Mira Rao"):
        await created(agency, now, name)
    assert await names(agency, "rao") == ["asha Rao", "Mira Rao", "Zoe Rao"]
    assert await names(agency, "rao", limit=2) == ["asha Rao", "Mira Rao"]


async def test_b61_another_agencys_people_are_invisible(agency: AgencyLike, other_agency: AgencyLike, now: Any) -> None:
    asha = await created(agency, now, "Asha Rao", email="asha@example.com")
    assert await names(other_agency, "Asha") == []
    assert await other_agency.store.ask(Load(tenant_id=other_agency.tenant_id, ids=[asha])) == ()
    assert await upsert(other_agency, now, "Asha Iyer", asha) is None
    assert await created(other_agency, now, "Asha Rao", email="asha@example.com") != asha
