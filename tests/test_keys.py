"""``run.py keys`` beside a service: the rotation of sealing keys, as an operator carries it out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import asyncpg

from tests.operator_calls import development, ran, serving

OLD, NEW = (f"{name}:{base64.b64encode(bytes(range(n, n + 32))).decode()}" for n, name in enumerate(("old", "new")))


async def test_a_rotation_is_led_from_its_begin_to_its_end(tmp_path: Path, database: Any) -> None:
    environ = development(database.url)
    before, both, after = (environ | {"VOYAGENT_KMS_KEY": ring} for ring in (OLD, f"{NEW},{OLD}", NEW))
    db = await asyncpg.connect(database.admin_url)
    (tmp_path / "token").write_text("duffel_test_s3cret\n")
    async with serving(tmp_path, **before):
        agency = await db.fetchval(
            "INSERT INTO tenants (id, display_name, created_at)"
            " VALUES (gen_random_uuid(), 'Rao Travels', now()) RETURNING id::text"
        )
        assert (await ran(tmp_path, "supplier", "set", agency, "duffel", "--file", "token", **before))[0] == 0

    code, out, err = await ran(tmp_path, **after)
    assert (code, out) == (2, "")
    assert err.count("VOYAGENT_KMS_KEY: key 'old' is missing") == 2
    assert "tenant_credentials.sealed (1): put it back behind the key that seals" in err
    assert "audit/heads.jsonl" in err
    code, listed, _ = await ran(tmp_path, "keys", "list", **after)
    assert (code, "old              MISSING  tenant_credentials.sealed (1)" in listed) == (3, True)

    async with serving(tmp_path, **both):
        code, done, err = await ran(tmp_path, "keys", "reseal", "--wait", "30", **both)
        assert (code, done.splitlines()[-1]) == (0, "Everything is sealed with new. Nothing needs old any more."), err
        code, listed, _ = await ran(tmp_path, "keys", "list", **both)
        assert code == 0
        assert "old              opens    nothing: remove it from VOYAGENT_KMS_KEY, and restart the service" in listed
        await db.execute("UPDATE tenant_credentials SET sealed = $1", b"\x03oldaltered")
        code, done, _ = await ran(tmp_path, "keys", "reseal", **both)
        told = f"tenant_credentials.sealed: 1 cannot be opened, although their key is here: {agency}/duffel"
        assert (code, done.splitlines()[0]) == (3, told)
        assert (await ran(tmp_path, "supplier", "set", agency, "duffel", "--file", "token", **both))[0] == 0

    async with serving(tmp_path, **after):
        code, listed, _ = await ran(tmp_path, "keys", "list", **after)
        assert (code, "old" in listed) == (0, False)
        assert (await ran(tmp_path, "audit", "verify", **after))[0] == 0
    heads = (tmp_path / "audit" / "heads.jsonl").read_text().splitlines()
    assert {json.loads(line)["key_id"] for line in heads} == {"new"}
    await db.close()


async def test_nothing_is_sealed_with_a_key_that_no_service_has_started_with(tmp_path: Path, database: Any) -> None:
    """The running one could not open it."""
    environ = development(database.url)
    before, both = (environ | {"VOYAGENT_KMS_KEY": ring} for ring in (OLD, f"{NEW},{OLD}"))
    (tmp_path / "token").write_text("duffel_test_s3cret\n")
    async with serving(tmp_path, **before):
        for words in (("keys", "reseal"), ("supplier", "set", "nobody", "duffel", "--file", "token")):
            code, out, err = await ran(tmp_path, *words, **both)
            assert (code, out) == (2, "")
            assert err.startswith("VOYAGENT_KMS_KEY: no service has started with key 'new' yet"), words
