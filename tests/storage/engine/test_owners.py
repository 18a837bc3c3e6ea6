"""In production the service's role owns neither tables nor database, and may not become who does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import SERVICE
from voyagent.storage.embedded.servers import OWNER
from voyagent.storage.engine import checks, fitness
from voyagent.storage.engine.connection import Connection


@pytest.mark.parametrize(
    ("done", "undone"),
    [
        (f"ALTER TABLE enquiries OWNER TO {SERVICE}", f"ALTER TABLE enquiries OWNER TO {OWNER}"),
        (f"GRANT {OWNER} TO {SERVICE} WITH INHERIT FALSE, SET TRUE", f"REVOKE {OWNER} FROM {SERVICE}"),
        ("ALTER DATABASE {name} OWNER TO " + SERVICE, "ALTER DATABASE {name} OWNER TO " + OWNER),
    ],
    ids=["a table", "a membership", "the database"],
)
async def test_a_role_that_owns_something_or_may_become_who_does_is_refused_in_production(
    done: str, undone: str, production_database: Any, admin: Connection
) -> None:
    url, name = production_database.url, production_database.name
    assert await fitness.faults(url, {}, as_owner=False) == []
    await admin.execute(done.format(name=name))
    try:
        assert await fitness.faults(url, {}, as_owner=False) == [checks.OWNER]
        assert await fitness.faults(url, {}) == [], "in development it may"
    finally:
        await admin.execute(undone.format(name=name))
