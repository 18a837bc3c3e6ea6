"""Revokes credentials beside the password: sessions, API keys, second factor, pending invites."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...actors.domain.audit import AuditEvent, Origin
from .. import outbox
from .account_events import event
from .login_sessions import end_families

if TYPE_CHECKING:
    from ..engine.pool import Connection

REVOKE_KEYS = """
UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND created_by_user_id = $2 AND revoked_at IS NULL RETURNING id
"""

REVOKE_INVITES = """
UPDATE invites SET status = 'revoked', revoked_at = $3
 WHERE tenant_id = $1 AND invited_by_user_id = $2 AND status = 'pending' RETURNING id, email
"""

HAS_FACTOR = "SELECT totp_enabled_at IS NOT NULL FROM users WHERE tenant_id = $1 AND id = $2"

REMOVE_FACTOR = """
UPDATE users SET totp_sealed = NULL, totp_pending_sealed = NULL, totp_enabled_at = NULL, totp_last_step = NULL
 WHERE tenant_id = $1 AND id = $2
"""

REMOVE_CODES = "DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Revoked credentials: ids, and for invites the address too."""

    api_keys: tuple[str, ...] = ()
    invites: tuple[tuple[str, str], ...] = ()
    totp: bool = False

    def values(self) -> dict[str, Any]:
        """It as an audit event's inputs."""
        return {
            "api_keys_ended": list(self.api_keys),
            "invites_ended": [invite_id for invite_id, _email in self.invites],
            "totp_removed": self.totp,
        }

    def entries(self, tenant_id: str, user_id: str, origin: Origin, now: datetime) -> list[AuditEvent]:
        """An audit event for each invite, with the system as its actor."""
        return [
            replace(
                event("auth.invite_revoked", tenant_id, user_id, origin, now, {"invite_id": invite_id, "email": email}),
                actor_kind="system",
                actor_id=None,
            )
            for invite_id, email in self.invites
        ]


async def revoke_all(
    db: Connection, tenant_id: str, user_id: str, why: str, now: datetime
) -> tuple[list[str], Revoked]:
    """Revoke every session and everything of ``revoke``. Returns the sessions' ids, and the rest."""
    sessions = await end_families(db, tenant_id, user_id, why, now)
    return sessions, await revoke(db, tenant_id, user_id, now)


async def revoke(db: Connection, tenant_id: str, user_id: str, now: datetime) -> Revoked:
    """End the second factor with its codes, all API keys and all pending invites of a person whose row is locked."""
    totp = await remove_factor(db, tenant_id, user_id)
    keys = await revoke_keys(db, tenant_id, user_id, now)
    return Revoked(api_keys=keys, invites=await revoke_invites(db, tenant_id, user_id, now), totp=totp)


async def revoke_keys(db: Connection, tenant_id: str, user_id: str, now: datetime) -> tuple[str, ...]:
    """Revoke every live API key the person created. Returns their ids."""
    return tuple(sorted(row["id"] for row in await db.fetch(REVOKE_KEYS, tenant_id, user_id, now)))


async def revoke_invites(db: Connection, tenant_id: str, user_id: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """Revoke every pending invite of the person, its e-mail included. Returns ids and addresses."""
    rows = await db.fetch(REVOKE_INVITES, tenant_id, user_id, now)
    await outbox.drop(db, [row["id"] for row in rows])
    return tuple(sorted((row["id"], row["email"]) for row in rows))


async def remove_factor(db: Connection, tenant_id: str, user_id: str) -> bool:
    """Disable the second factor and delete a pending seed. Returns whether it was enabled."""
    was_on = bool(await db.fetchval(HAS_FACTOR, tenant_id, user_id))
    await db.execute(REMOVE_FACTOR, tenant_id, user_id)
    await db.execute(REMOVE_CODES, tenant_id, user_id)
    return was_on
