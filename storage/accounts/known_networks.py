"""Known networks of an account, from which its owner may sign in while guesses are throttled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..engine.operations import Query

if TYPE_CHECKING:
    from ..engine.connection import Connection

KNOWN_FOR = timedelta(days=90)

MAX_NETWORKS = 200
"""At most so many of an account, the newest."""

_NETWORKS = """
SELECT u.id AS user_id, u.tenant_id, ARRAY(
         SELECT f.network FROM auth_families f
          WHERE f.tenant_id = u.tenant_id AND f.user_id = u.id AND f.network IS NOT NULL AND f.created_at > $2
          GROUP BY f.network ORDER BY max(f.created_at) DESC LIMIT $3
       ) AS networks
  FROM users u WHERE {whose} AND u.released_at IS NULL
"""
"""SQL text: an ARRAY of a correlated query."""
BY_EMAIL = _NETWORKS.format(whose="u.email = $1")
BY_ID = _NETWORKS.format(whose="u.id = $1")


@dataclass(frozen=True, slots=True)
class AccountNetworks:
    """An account, and the networks its families of the last 90 days were opened from."""

    tenant_id: str
    user_id: str
    networks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks(Query[AccountNetworks | None]):
    """The known networks of the account with this address, or else this id. None if there is none. System work."""

    tenant_id: None = None
    email: str | None = None
    user_id: str | None = None
    now: datetime

    async def run(self, db: Connection) -> AccountNetworks | None:
        query, whose = (BY_ID, self.user_id) if self.email is None else (BY_EMAIL, self.email)
        row = await db.fetchrow(query, whose, self.now - KNOWN_FOR, MAX_NETWORKS)
        if row is None:
            return None
        return AccountNetworks(row["tenant_id"], row["user_id"], frozenset(row["networks"]))
