"""Sign-up and sign-in: cheap checks first, then one hash, then one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ...storage.accounts.users import Find, IsEmailTaken, UserCredentials
from ...storage.accounts.users import SignIn as Enter
from ...storage.accounts.users import SignUp as FoundAgency
from ..domain.audit import AuditEvent, Origin
from ..domain.errors import Conflict, Refusal, Unauthorized
from ..domain.identity import BIRTH_VERSION, Principal, Role, check_password
from ..domain.ids import uuid7
from ..domain.settings import TenantSettings
from ..foundation import metrics
from ..foundation.clock import Clock
from ..runtime.actor import Message, Recipient
from .hash_queue import Asker
from .login_sessions import LoginSessions, SignedIn
from .outgoing import VerificationToken
from .passwords import Passwords
from .revocation import Revocation

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp(Message[SignedIn]):
    """Create an agency and its first admin. ``email`` in normal form, names trimmed.

    WeakPassword; Conflict ``email_already_registered``.
    """

    email: str
    password: str
    full_name: str
    agency_name: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn(Message[SignedIn]):
    """Sign in with a password. ``email`` in normal form. Unauthorized with the codes of ``SignInFlows.sign_in``."""

    email: str
    password: str
    origin: Origin


class SignInFlows:
    """Sign-up and sign-in with a password.

    ``record`` writes the audit events of refusals in the background; ``verification`` makes a verification e-mail.
    """

    def __init__(
        self,
        storage: Recipient,
        passwords: Passwords,
        families: LoginSessions,
        clock: Clock,
        *,
        verified_only: bool,
        revocation: Revocation,
        record: Callable[[AuditEvent], None],
        verification: Callable[[str], VerificationToken],
    ) -> None:
        self._storage = storage
        self._passwords = passwords
        self._families = families
        self._clock = clock
        self._verified_only = verified_only
        self._revocation = revocation
        self._record = record
        self._verification = verification

    async def sign_up(self, message: SignUp) -> SignedIn:
        """A new agency and its first admin; see ``SignUp``."""
        email, agency_name, origin = message.email, message.agency_name, message.origin
        check_password(message.password)
        if await self._storage.ask(IsEmailTaken(email=email, now=self._clock.now())):
            raise Conflict("email_already_registered")
        password_hash = await self._passwords.hash(message.password, Asker.of(origin))
        now = self._clock.now()
        new_session = self._families.open(origin, now)
        tenant_id = uuid7()
        admin = Principal(
            user_id=uuid7(),
            tenant_id=tenant_id,
            role=Role.AGENCY_ADMIN,
            email=email,
            email_verified=not self._verified_only,
            full_name=message.full_name,
            tenant_name=agency_name,
            created_at=now,
            token_version=BIRTH_VERSION,
            family_id=new_session.family.id,
        )
        inputs = {"email": email, "tenant_name": agency_name}
        event = AuditEvent.by_person("auth.sign_up", tenant_id, admin.user_id, origin, now, inputs=inputs)
        verification = self._verification(email) if self._verified_only else None
        await self._storage.ask(
            FoundAgency(
                admin=admin,
                password_hash=password_hash,
                default_currency=TenantSettings(tenant_id=tenant_id).default_currency,
                family=new_session.family,
                entries=(event,),
                verification=None if verification is None else (verification.token, verification.mail),
            )
        )
        return self._families.issue_tokens(admin, new_session, now)

    async def sign_in(self, message: SignIn) -> SignedIn:
        """Verify the password and return tokens.

        Unauthorized: ``invalid_credentials`` (an unknown address costs the same hash), ``account_inactive``,
        ``email_not_verified``, ``totp_required``.
        """
        account = await self._storage.ask(Find(email=message.email))
        stored = account.password_hash if account else None
        right = await self._passwords.verify(stored, message.password, Asker.of(message.origin, message.email))
        if account is None:
            raise Unauthorized("invalid_credentials")
        try:
            return await self._admit(account, stored if right else None, message)
        except Unauthorized as refusal:
            self._record(failed_sign_in(account, refusal.code, message.origin, self._clock.now()))
            raise

    async def _admit(self, account: UserCredentials, judged_hash: str | None, message: SignIn) -> SignedIn:
        """``judged_hash`` is what the password was right for; None if it was wrong."""
        if judged_hash is None:
            raise Unauthorized("invalid_credentials")
        outdated = self._passwords.outdated(judged_hash)
        origin, asker = message.origin, Asker.of(message.origin, message.email)
        rehashed = await self._passwords.hash(message.password, asker) if outdated else None
        now = self._clock.now()
        new_session = self._families.open(origin, now)
        inputs = {"method": "password", "session_id": new_session.family.id}
        event = AuditEvent.by_person("auth.sign_in", account.tenant_id, account.user_id, origin, now, inputs=inputs)
        principal, ended = await self._storage.ask(
            Enter(
                tenant_id=account.tenant_id,
                user_id=account.user_id,
                judged_hash=judged_hash,
                rehashed=rehashed,
                verified_only=self._verified_only,
                family=new_session.family,
                entries=(event,),
                now=now,
            )
        )
        self._revocation.revoke(*ended)
        return self._families.issue_tokens(principal, new_session, now)


async def counted(operation: str, attempt: Awaitable[R]) -> R:
    """Count an attempt by outcome: ``ok``, or the code of its refusal."""
    try:
        answer = await attempt
    except Refusal as refusal:
        metrics.AUTH_ATTEMPTS_TOTAL.labels(operation, refusal.code).inc()
        raise
    metrics.AUTH_ATTEMPTS_TOTAL.labels(operation, "ok").inc()
    return answer


def failed_sign_in(account: UserCredentials, code: str, origin: Origin, now: datetime) -> AuditEvent:
    """The actor is the system: the client may not have been the account's owner."""
    return AuditEvent.by_system(
        "auth.sign_in_failed",
        account.tenant_id,
        now,
        origin=origin,
        status="rejected",
        inputs={"code": code},
        refs={"user_id": account.user_id},
    )
