"""Agencies' tokens for suppliers: sealed, before the environment's, and replaced while the service runs."""

from __future__ import annotations

import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.actors.suppliers.bsp.files import OURS, THEIRS, Hot, Line, Office
from tests.manual_clock import ManualClock
from voyagent.actors import credentials
from voyagent.actors.domain import ids
from voyagent.actors.domain.bsp import StatementQuestion
from voyagent.actors.foundation.config import ConfigurationError, Settings
from voyagent.actors.suppliers.credentials import FRESH_SECONDS, Credential
from voyagent.actors.suppliers.drivers import SUPPLIERS, Agency
from voyagent.actors.suppliers.protocols import Statements, SupplierError

KEYS = {"k1": b"1" * 32}
TOKEN = "duffel_test_Qk3vT0pSecret"


def settings_of(database: Any, **more: Any) -> Settings:
    return Settings(env="development", db_url=database.url, kms_key=KEYS, **more)


def credential(agency: Any, clock: ManualClock, *, fallback: str | None = None, keys: Any = KEYS) -> Credential:
    return Credential(
        tenant_id=agency.tenant_id,
        supplier="duffel",
        store=agency.store,
        clock=clock,
        sealing_keys=keys,
        fallback=fallback,
    )


async def test_b45_an_agency_uses_its_own_token_before_that_of_the_environment(
    agency: Any, other_agency: Any, database: Any, clock: ManualClock
) -> None:
    settings = settings_of(database)
    assert await credentials.put(settings, agency.tenant_id.upper(), "duffel", TOKEN) is False
    assert await credential(agency, clock, fallback="duffel_test_env")() == TOKEN
    assert await credential(other_agency, clock, fallback="duffel_test_env")() == "duffel_test_env"
    with pytest.raises(SupplierError) as off:
        await credential(other_agency, clock)()
    assert (off.value.supplier_code, off.value.sent) == ("capability_not_supported", False)


async def test_a_replaced_token_is_used_within_seconds_and_a_removed_one_no_longer(
    agency: Any, database: Any, clock: ManualClock
) -> None:
    settings, read = settings_of(database), credential(agency, clock)
    await credentials.put(settings, agency.tenant_id, "duffel", TOKEN)
    assert await read() == TOKEN
    assert await credentials.put(settings, agency.tenant_id, "duffel", "duffel_test_second") is True
    assert await read() == TOKEN
    await clock.advance(FRESH_SECONDS)
    assert await read() == "duffel_test_second"
    assert await credentials.remove(settings, agency.tenant_id, "duffel") is True
    assert await credentials.remove(settings, agency.tenant_id, "duffel") is False
    await clock.advance(FRESH_SECONDS)
    with pytest.raises(SupplierError):
        await read()


async def test_a_token_is_sealed_listed_without_its_value_and_audited(agency: Any, database: Any) -> None:
    settings = settings_of(database)
    await credentials.put(settings, agency.tenant_id, "duffel", TOKEN)
    await credentials.put(settings, agency.tenant_id, "duffel", TOKEN)
    (listed,) = await credentials.listed(settings, agency.tenant_id)
    assert (listed.supplier, listed.key_id) == ("duffel", "k1")
    assert listed.rotated_at is not None
    assert listed.rotated_at - listed.created_at < timedelta(minutes=1)
    assert TOKEN not in repr(listed)
    stored = await agency.db.fetch("SELECT * FROM tenant_credentials")
    assert all(TOKEN.encode() not in row["sealed"] for row in stored)
    events = await agency.db.fetch("SELECT kind, actor_kind, inputs::text AS inputs FROM audit_events ORDER BY seq")
    assert [(row["kind"], row["actor_kind"]) for row in events] == [("supplier_credential.set", "system")] * 2
    assert not any(TOKEN in row["inputs"] for row in events)


async def test_a_token_opens_for_its_own_agency_and_key_alone(
    agency: Any, other_agency: Any, database: Any, clock: ManualClock
) -> None:
    await credentials.put(settings_of(database), agency.tenant_id, "duffel", TOKEN)
    with pytest.raises(SupplierError) as wrong:
        await credential(agency, clock, keys={"k1": b"2" * 32})()
    assert wrong.value.supplier_code == "authentication"
    await agency.db.execute("UPDATE tenant_credentials SET tenant_id = $1", other_agency.tenant_id)
    with pytest.raises(SupplierError) as moved:
        await credential(other_agency, clock, fallback="duffel_test_env")()
    assert moved.value.supplier_code == "authentication"


async def test_what_cannot_be_stored_is_refused_by_name(agency: Any, database: Any) -> None:
    settings = settings_of(database)
    for tenant, supplier in (
        (ids.uuid7(), "duffel"),
        ("nobody", "duffel"),
        (agency.tenant_id, "house"),
        (agency.tenant_id, "amadeus"),
    ):
        with pytest.raises(ConfigurationError):
            await credentials.put(settings, tenant, supplier, TOKEN)
    with pytest.raises(ConfigurationError, match="VOYAGENT_KMS_KEY"):
        await credentials.put(settings.model_copy(update={"kms_key": None}), agency.tenant_id, "duffel", TOKEN)
    assert await agency.db.fetchval("SELECT count(*) FROM tenant_credentials") == 0


def test_a_token_is_read_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text(f"  {TOKEN}\n")
    assert credentials.read_token(path) == TOKEN
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))
    assert credentials.read_token(None) == TOKEN
    for text in ("", " \n", "two words", "t\u00f6ken", "x" * 5000, "a\x00b"):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        with pytest.raises(ConfigurationError):
            credentials.read_token(None)


async def test_b55_an_agencys_iata_numbers_are_its_credential_and_wrong_ones_are_refused(
    agency: Any, database: Any
) -> None:
    settings = settings_of(database)
    for wrong in ("16383221", "twelve", "16383220,"):
        with pytest.raises(ConfigurationError, match="no token of 'bsp'"):
            await credentials.put(settings, agency.tenant_id, "bsp", wrong)
    assert await credentials.put(settings, agency.tenant_id, "bsp", "16383220,1639134") is False
    assert [each.supplier for each in await credentials.listed(settings, agency.tenant_id)] == ["bsp"]


async def test_b55_statements_are_those_of_the_agencys_own_numbers_and_there_are_none_for_all(
    agency: Any, other_agency: Any, database: Any, clock: ManualClock, tmp_path: Path
) -> None:
    settings = settings_of(database, bsp_dir=tmp_path)
    Hot(offices=(Office(), Office(agent=THEIRS, lines=(Line(number="1252400777777"),)))).write(tmp_path)
    await credentials.put(settings, agency.tenant_id, "bsp", OURS)
    asked = StatementQuestion("IN", date(2026, 11, 16), date(2026, 11, 22))

    def statements(of: Any) -> Statements:
        made = SUPPLIERS["bsp"].start(Agency(tenant_id=of.tenant_id, store=of.store, clock=clock, settings=settings))
        assert made.statements is not None
        return made.statements

    found = await statements(agency).fetch(asked)
    assert [each.document_number for each in found.transactions] == ["1252400123456"]
    with pytest.raises(SupplierError) as off:
        await statements(other_agency).fetch(asked)
    assert (off.value.supplier_code, off.value.text) == (
        "capability_not_supported",
        "bsp is not set up for this agency",
    )
