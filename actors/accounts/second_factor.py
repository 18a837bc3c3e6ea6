"""The second factor (TOTP): set-up, verification, removal, and the sign-in that requires it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from ...storage.accounts import second_factor as rows
from ...storage.accounts.second_factor import WRONG, Factor, Read, TotpEvidence
from ...storage.accounts.users import Find, UserCredentials
from ...storage.engine import digest_keys
from ...storage.engine.digest_keys import ReadDigestKeys
from ...storage.engine.sealing import NotOpened, Sealing
from ..domain.audit import AuditEvent, Origin
from ..domain.email_texts import Kind
from ..domain.errors import BadRequest, Forbidden, InternalError, Refusal, Unauthorized
from ..domain.identity import Principal
from ..foundation import log
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Message, Recipient
from .hash_queue import Asker
from .login_sessions import LoginSessions, SignedIn
from .outgoing import OutgoingEmails
from .passwords import Passwords
from .revocation import Revocation
from .sign_in import counted, failed_sign_in
from .totp import RecoveryMacs, new_recovery_codes, new_seed, otpauth_url, read_code, time_step_of

_log = log.get("accounts.second_factor")

ACTIVE, PENDING = "totp_sealed", "totp_pending_sealed"
"""Columns of ``users``, which seeds are sealed to."""


@dataclass(frozen=True, slots=True)
class NewSeed:
    """A new TOTP seed, returned only once."""

    secret: str
    otpauth_url: str


@dataclass(frozen=True, slots=True)
class TotpSignedIn:
    """A signed-in user, and how many recovery codes are left if one was used."""

    signed_in: SignedIn
    recovery_codes_left: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpTotp(Message[NewSeed]):
    """Create a pending seed, replacing an earlier pending one. Conflict."""

    principal: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTotp(Message[list[str] | None]):
    """The first valid code enables the factor and returns recovery codes. Later ones return None.

    BadRequest ``totp_not_initialized``; Unauthorized ``totp_invalid``.
    """

    principal: Principal
    code: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableTotp(Message[None]):
    """Disable the factor, given password and code. Forbidden ``invalid_password``, ``totp_invalid``."""

    principal: Principal
    password: str
    code: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInTotp(Message[TotpSignedIn]):
    """Sign in with password and code. ``email`` in normal form."""

    email: str
    password: str
    code: str
    origin: Origin


TotpMessage = SetUpTotp | VerifyTotp | DisableTotp
"""Messages by which users manage their own second factor."""


class SecondFactor:
    """Verifies codes. ``record`` writes the audit events of refused sign-ins in the background.

    ``on_enqueued`` is called when there may be a notice to deliver.
    """

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        passwords: Passwords,
        families: LoginSessions,
        revocation: Revocation,
        record: Callable[[AuditEvent], None],
        on_enqueued: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._passwords = passwords
        self._families = families
        self._revocation = revocation
        self._record = record
        self._on_enqueued = on_enqueued
        self._emails = OutgoingEmails(settings)
        self._verified_only = not settings.auth_skip_email_verification
        self._sealing = Sealing(settings.sealing_keys)
        self._macs = RecoveryMacs(settings.sealing_keys)

    def carry_out(self, message: TotpMessage | SignInTotp) -> Coroutine[Any, Any, Any]:
        """The reply to ``message``."""
        match message:
            case SetUpTotp():
                return self._set_up(message.principal)
            case VerifyTotp():
                return counted("totp_verify", self._verify(message))
            case DisableTotp():
                return counted("totp_disable", self._disable(message))
            case SignInTotp():
                return counted("sign_in_totp", self._sign_in(message))
            case _:
                assert_never(message)

    async def _set_up(self, caller: Principal) -> NewSeed:
        seed = new_seed()
        sealed = self._seal(seed, PENDING, caller.user_id)
        await self._storage.ask(rows.Begin(tenant_id=caller.tenant_id, user_id=caller.user_id, pending_sealed=sealed))
        return NewSeed(seed, otpauth_url(seed, caller.email))

    async def _verify(self, message: VerifyTotp) -> list[str] | None:
        caller = message.principal
        factor = await self._read(caller.tenant_id, caller.user_id)
        column, sealed = (ACTIVE, factor.totp_sealed) if factor.enabled else (PENDING, factor.totp_pending_sealed)
        if sealed is None:
            raise BadRequest("totp_not_initialized")
        seed, now = self._open(sealed, column, caller.user_id), self._clock.now()
        if time_step_of(seed, read_code(message.code), now) is None:
            raise Unauthorized(WRONG)
        if factor.enabled:
            return None
        codes = new_recovery_codes()
        enable = rows.Enable(
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            judged_pending=sealed,
            sealed=self._seal(seed, ACTIVE, caller.user_id),
            macs=[self._macs.new(code, caller.user_id) for code in codes],
            key_id=self._macs.key_id,
            notice=self._emails.notice(Kind.TOTP_ON),
            entries=(AuditEvent.by_person("auth.totp_enabled", caller.tenant_id, caller.user_id, message.origin, now),),
            now=now,
        )
        if await self._storage.ask(enable):
            self._on_enqueued()
            return codes
        return await self._verify(message)  # a concurrent change: verify against the current row

    async def _disable(self, message: DisableTotp) -> None:
        """A seed that is sealed again meanwhile is read again, as it is by ``_enter``."""
        caller = message.principal
        factor = await self._read(caller.tenant_id, caller.user_id)
        stored = factor.password_hash
        asker = Asker.of(message.origin, caller.email)
        if not await self._passwords.verify(stored, message.password, asker) or stored is None:
            raise Forbidden("invalid_password")
        while factor.enabled and not await self._try_disable(message, factor, stored):
            factor = await self._read(caller.tenant_id, caller.user_id)

    async def _try_disable(self, message: DisableTotp, factor: Factor, judged_hash: str) -> bool:
        """False if the factor has changed since it was read."""
        caller, now = message.principal, self._clock.now()
        evidence = await self._evidence(factor, message.code, caller.user_id, now)
        if evidence is None:
            raise Forbidden(WRONG)
        method = "totp" if isinstance(evidence, rows.TotpCode) else "recovery_code"
        event = AuditEvent.by_person(
            "auth.totp_disabled", caller.tenant_id, caller.user_id, message.origin, now, inputs={"method": method}
        )
        disabled: bool = await self._storage.ask(
            rows.Disable(
                tenant_id=caller.tenant_id,
                user_id=caller.user_id,
                judged_hash=judged_hash,
                evidence=evidence,
                notice=self._emails.notice(Kind.TOTP_OFF),
                entries=(event,),
                now=now,
            )
        )
        if disabled:
            self._on_enqueued()
        return disabled

    async def _sign_in(self, message: SignInTotp) -> TotpSignedIn:
        account = await self._storage.ask(Find(email=message.email))
        stored = account.password_hash if account else None
        right = await self._passwords.verify(stored, message.password, Asker.of(message.origin, message.email))
        if account is None:
            raise Unauthorized("invalid_credentials")
        try:
            return await self._admit(account, stored if right else None, message)
        except Refusal as refusal:
            if isinstance(refusal, Unauthorized | BadRequest):
                self._record(failed_sign_in(account, refusal.code, message.origin, self._clock.now()))
            raise

    async def _admit(self, account: UserCredentials, judged_hash: str | None, message: SignInTotp) -> TotpSignedIn:
        """``judged_hash`` is what the password was right for; None if it was wrong."""
        if judged_hash is None:
            raise Unauthorized("invalid_credentials")
        outdated = self._passwords.outdated(judged_hash)
        asker = Asker.of(message.origin, message.email)
        rehashed = await self._passwords.hash(message.password, asker) if outdated else None
        while (signed_in := await self._enter(account, judged_hash, rehashed, message)) is None:
            pass
        return signed_in

    async def _enter(
        self, account: UserCredentials, judged_hash: str, rehashed: str | None, message: SignInTotp
    ) -> TotpSignedIn | None:
        """None if the seed has changed since the code was verified: by a new enrolment, or sealed again."""
        tenant_id, user_id = account.tenant_id, account.user_id
        try:
            factor = await self._read(tenant_id, user_id)
        except Unauthorized as gone:
            raise Unauthorized("account_inactive") from gone
        now = self._clock.now()
        evidence = await self._evidence(factor, message.code, user_id, now)
        method = "recovery_code" if isinstance(evidence, rows.Recovery) else "totp"
        new_session = self._families.open(message.origin, now)
        inputs = {"method": method, "session_id": new_session.family.id}
        done = await self._storage.ask(
            rows.SignInTotp(
                tenant_id=tenant_id,
                user_id=user_id,
                judged_hash=judged_hash,
                rehashed=rehashed,
                evidence=evidence,
                verified_only=self._verified_only,
                family=new_session.family,
                signed_in=AuditEvent.by_person("auth.sign_in", tenant_id, user_id, message.origin, now, inputs=inputs),
                code_used=AuditEvent.by_person("auth.recovery_code_used", tenant_id, user_id, message.origin, now),
                code_used_notice=self._emails.notice(Kind.RECOVERY_CODE_USED),
                now=now,
            )
        )
        if done is None:
            return None
        principal, left, ended = done
        self._revocation.revoke(*ended)
        if left is not None:
            self._on_enqueued()
        return TotpSignedIn(self._families.issue_tokens(principal, new_session, now), left)

    async def _read(self, tenant_id: str, user_id: str) -> Factor:
        factor: Factor = await self._storage.ask(Read(tenant_id=tenant_id, user_id=user_id))
        return factor

    async def _evidence(self, factor: Factor, typed: str, user_id: str, now: datetime) -> TotpEvidence | None:
        """The evidence a code provides. Whether a recovery code exists is checked in the database."""
        code = read_code(typed)
        if code is None or not factor.enabled or factor.totp_sealed is None:
            return None
        if code.kind == "recovery":
            return rows.Recovery(self._macs.all(code.text, user_id, await self._digest_keys()))
        time_step = time_step_of(self._open(factor.totp_sealed, ACTIVE, user_id), code, now)
        return None if time_step is None else rows.TotpCode(factor.totp_sealed, time_step)

    async def _digest_keys(self) -> list[bytes]:
        """The stored keys of recovery codes' MACs, those of sealing keys that have left the ring among them."""
        keys, not_opened = digest_keys.opened(self._sealing, await self._storage.ask(ReadDigestKeys()))
        if not_opened:
            _log.error("digest_keys_not_opened", rows=not_opened)
        return keys

    def _seal(self, seed: str, column: str, user_id: str) -> bytes:
        return self._sealing.seal(seed.encode(), table="users", column=column, row=user_id)

    def _open(self, sealed: bytes, column: str, user_id: str) -> str:
        try:
            return self._sealing.open(sealed, table="users", column=column, row=user_id).decode()
        except NotOpened as altered:
            _log.exception("totp_seed_open_failed", column=column)
            raise InternalError("internal_error") from altered
