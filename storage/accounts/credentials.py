"""Revokes credentials beside the password: sessions, API keys, second factor, pending invites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from ...actors.domain.audit import AuditEvent, Origin
from .. import outbox
from ..engine.statements import binds, statement
from ..tables import api_keys, invites, recovery_codes, users
from .login_sessions import end_families
from .principals import THIS_USER

if TYPE_CHECKING:
    from ..engine.connection import Connection

REVOKE_KEYS = statement(
    update(api_keys)
    .where(
        api_keys.c.tenant_id == bindparam("tenant_id"),
        api_keys.c.created_by_user_id == bindparam("user_id"),
        api_keys.c.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now"))
    .returning(api_keys.c.id)
)

REVOKE_INVITES = statement(
    update(invites)
    .where(
        invites.c.tenant_id == bindparam("tenant_id"),
        invites.c.invited_by_user_id == bindparam("user_id"),
        invites.c.status == "pending",
    )
    .values(status="revoked", revoked_at=bindparam("now"))
    .returning(*invites.c["id", "email"])
)

HAS_FACTOR = statement(select(users.c.totp_enabled_at.is_not(None)).where(THIS_USER))

REMOVE_FACTOR = statement(
    update(users)
    .where(THIS_USER)
    .values(totp_sealed=None, totp_pending_sealed=None, totp_enabled_at=None, totp_last_step=None)
)

REMOVE_CODES = statement(delete(recovery_codes).filter_by(**binds("tenant_id", "user_id")))


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
            AuditEvent.by_system(
                "auth.invite_revoked",
                tenant_id,
                now,
                origin=origin,
                inputs={"invite_id": invite_id, "email": email},
                refs={"user_id": user_id},
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
    rows = await REVOKE_KEYS.fetch(db, tenant_id=tenant_id, user_id=user_id, now=now)
    return tuple(sorted(row["id"] for row in rows))


async def revoke_invites(db: Connection, tenant_id: str, user_id: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """Revoke every pending invite of the person, its e-mail included. Returns ids and addresses."""
    rows = await REVOKE_INVITES.fetch(db, tenant_id=tenant_id, user_id=user_id, now=now)
    await outbox.drop(db, [row["id"] for row in rows])
    return tuple(sorted((row["id"], row["email"]) for row in rows))


async def remove_factor(db: Connection, tenant_id: str, user_id: str) -> bool:
    """Disable the second factor and delete a pending seed. Returns whether it was enabled."""
    was_on = bool(await HAS_FACTOR.fetchval(db, tenant_id=tenant_id, user_id=user_id))
    await forget_factor(db, tenant_id, user_id)
    return was_on


async def forget_factor(db: Connection, tenant_id: str, user_id: str) -> None:
    """Delete the seeds of the second factor and its recovery codes."""
    await REMOVE_FACTOR.execute(db, tenant_id=tenant_id, user_id=user_id)
    await REMOVE_CODES.execute(db, tenant_id=tenant_id, user_id=user_id)
