"""A download of the audit trail starts at once and holds flat memory, whatever its length (business 6.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.downloads import FLAT, measured, soonest

if TYPE_CHECKING:
    from tests.service.conftest import Admin, Person

FILL = """
INSERT INTO audit_events (id, tenant_id, seq, prev_hash, hash, hash_v, actor_kind, kind, inputs, outputs, entity_refs,
                          approval_required, status, created_at)
SELECT gen_random_uuid(), $1, 1000 + n, repeat('0', 64), repeat('0', 64), 1, 'system', 'n',
       jsonb_build_object('text', repeat('a', 200)), '{}', '{}', false, 'succeeded', now()
  FROM generate_series(1, $2) AS n
"""


async def filled(asha: Person, admin: Admin, rows: int) -> str:
    """Where the download of that many events is."""
    await admin.execute(FILL, asha.user["tenant_id"], rows)
    await admin.execute("VACUUM ANALYZE audit_events")
    return f"{asha.url}/audit/export.csv?kind=n"


@pytest.mark.slow
async def test_b37_an_export_starts_at_once(asha: Person, admin: Admin) -> None:
    """Timed, so among the slow ones: a busy machine says nothing about it."""
    url = await filled(asha, admin, 100_000)
    assert await soonest(asha, url, b"created_at,") < 0.1


@pytest.mark.parametrize("rows", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_b37_an_export_holds_flat_memory(rows: int, asha: Person, admin: Admin) -> None:
    url = await filled(asha, admin, rows)
    with measured() as memory:
        lines = size = 0
        async with asha.http.get(url, headers=asha.headers) as response:
            async for piece in response.content.iter_any():
                lines, size = lines + piece.count(b"\r\n"), size + len(piece)
    assert lines == rows + 1
    assert size > 200 * rows
    assert memory.peak < FLAT
