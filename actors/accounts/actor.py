"""The accounts actor: sign-in, authentication, and the access of open streams."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, assert_never

from ...storage.accounts.members import Change, Member, SwitchAgency
from ...storage.accounts.principals import FindRevoked, Person
from ...storage.accounts.refresh_tokens import Rules
from ...storage.engine.sealing import Sealing
from ..audit_refusals import record
from ..domain.audit import AuditEvent, Origin
from ..domain.errors import Unauthorized
from ..domain.identity import Principal, Role
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Actor, Message, Recipient
from ..runtime.periodic import PeriodicTasks
from .access_watch import AccessWatch, AccessWatches
from .api_keys import PREFIX, ApiKeys, CreateKey, RevokeKey, hashed, well_formed
from .denial_audit import DenialAudit, DeniedRequest
from .email_flows import EmailFlows, EmailMessage
from .email_verification import ResendVerification, UpdateProfile, VerifyEmail
from .hash_queue import PER_ACCOUNT, PER_NETWORK, Bounds
from .invites import AcceptInvite, CreateInvite, LookUpInvite, RevokeInvite
from .login_sessions import LoginSessions, SignedIn
from .outgoing import OutgoingEmails
from .password_reset import ChangePassword, RequestReset, ResetPassword
from .passwords import Passwords
from .principals import FRESH_SECONDS, Principals, authorize, is_active
from .refresh_tokens import Refresh, RefreshFlow, TokenPair
from .revocation import Revocation
from .second_factor import DisableTotp, SecondFactor, SetUpTotp, SignInTotp, TotpMessage, VerifyTotp
from .sign_in import SignIn, SignInFlows, SignUp, counted
from .sign_out import PresentedToken, RevokeSession, SignOut, SignOutFlows
from .throttling import Malformed, ThrottleGate
from .tickets import IssueTicket, ShowTicket, Tickets
from .tokens import AccessTokens, Claims, KeyRing, RefreshTokens

__all__ = [
    "AcceptInvite",
    "AccessWatch",
    "AccountsActor",
    "Authenticate",
    "ChangeMember",
    "ChangePassword",
    "CreateInvite",
    "CreateKey",
    "Denied",
    "DeniedRequest",
    "Invalidate",
    "IssueTicket",
    "LookUpInvite",
    "Refresh",
    "RequestReset",
    "ResendVerification",
    "ResetPassword",
    "RevokeInvite",
    "RevokeKey",
    "RevokeSession",
    "ShowTicket",
    "SignIn",
    "SignOut",
    "SignUp",
    "SignedIn",
    "SwitchTenant",
    "TokenPair",
    "UpdateProfile",
    "VerifyEmail",
    "Watch",
]


@dataclass(frozen=True, slots=True)
class Authenticate(Message[Principal]):
    """The principal of a bearer token or API key. Unauthorized if invalid or revoked; Unavailable without storage.

    With ``request`` a denial of a known person leaves an audit event.
    """

    bearer: str
    request: DeniedRequest | None = None


@dataclass(frozen=True, slots=True)
class Watch(Message[AccessWatch]):
    """Watch the access of ``principal``. If it is revoked already, so is the watch."""

    principal: Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(Message[None]):
    """``principal`` was refused with 401 or 403. Sent by tell; the audit event is written in the background."""

    principal: Principal
    request: DeniedRequest
    status: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMember(Message[Member]):
    """Give a member another role or switch them off or on; effective on their next request. See ``members.Change``."""

    tenant_id: str
    user_id: str
    role: Role | None = None
    is_active: bool | None = None
    by: str | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchTenant(Message[None]):
    """Suspend or reactivate an agency. NotFound ``tenant_not_found``."""

    tenant_id: str
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidate(Message[None]):
    """Evict cached rows changed by others: of a user, or without one of the whole agency.

    ``ended`` also closes their streams: those of one credential if it is given, else all.
    """

    tenant_id: str
    user_id: str | None = None
    credential_id: str | None = None
    ended: bool = False


Accounts = (
    SignUp
    | SignIn
    | Refresh
    | SignOut
    | RevokeSession
    | CreateKey
    | RevokeKey
    | TotpMessage
    | SignInTotp
    | EmailMessage
    | Authenticate
    | IssueTicket
    | ShowTicket
    | Watch
    | Malformed
    | Denied
    | ChangeMember
    | SwitchTenant
    | Invalidate
)


def _bounds(guard: str) -> Bounds:
    """Limits of the hash queue, where throttles count accounts and networks."""
    return Bounds(
        account=None if guard == "off" else PER_ACCOUNT,
        network=PER_NETWORK if guard == "on" else None,
    )


async def _no_work() -> None:
    """A malformed request is only counted."""


class AccountsActor(Actor):
    """Authenticates from its cache; database queries and hashes run in the background."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        on_enqueued: Callable[[], None] = lambda: None,
        guard: Recipient | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        """``on_enqueued`` is called when an e-mail may be due; without ``guard`` nothing is throttled."""
        super().__init__()
        self._gate = ThrottleGate(guard)
        self._storage = storage
        self._clock = clock
        ring = KeyRing(settings.signing_keys, settings.auth_secret)
        self._access = AccessTokens(
            ring,
            issuer=settings.auth_issuer,
            audience=settings.auth_audience,
            ttl=settings.auth_access_ttl_seconds,
            leeway=settings.auth_leeway_seconds,
        )
        self._tickets = Tickets(ring, issuer=settings.auth_issuer)
        self._passwords = Passwords(
            time_cost=settings.auth_argon2_time_cost,
            memory_cost=settings.auth_argon2_memory_cost,
            parallelism=settings.auth_argon2_parallelism,
            workers=settings.auth_hash_workers,
            bounds=_bounds(settings.guard if guard is not None else "off"),
        )
        refresh = RefreshTokens(ring)
        verified_only = not settings.auth_skip_email_verification
        families = LoginSessions(
            self._access,
            refresh,
            refresh_ttl=settings.auth_refresh_ttl_seconds,
            max_age=settings.auth_family_max_age_seconds,
        )
        self._principals = Principals(storage, clock, self.spawn)
        self._watches = AccessWatches()
        revocation = Revocation(self._principals, self._watches)
        self._second_factor = SecondFactor(
            storage, settings, clock, self._passwords, families, revocation, self._record, on_enqueued
        )
        self._emails = EmailFlows(
            storage, settings, clock, self._passwords, families, revocation, on_enqueued, self._gate.forgive
        )
        self._sign_in_flows = SignInFlows(
            storage,
            self._passwords,
            families,
            clock,
            verified_only=verified_only,
            revocation=revocation,
            record=self._record,
            verification=self._emails.verification,
        )
        rules = Rules(
            lifetime=timedelta(seconds=settings.auth_refresh_ttl_seconds),
            grace=timedelta(seconds=settings.auth_refresh_grace_seconds),
            unverified=timedelta(seconds=settings.auth_unverified_ttl_seconds) if verified_only else None,
        )
        self._refresh_flow = RefreshFlow(
            storage, self._access, refresh, rules, clock, revocation, OutgoingEmails(settings), on_enqueued
        )
        self._sign_out_flows = SignOutFlows(storage, clock, leeway=settings.auth_leeway_seconds, revocation=revocation)
        self._keys = ApiKeys(storage, clock, Sealing(settings.sealing_keys), revocation)
        self._denial_audit = DenialAudit(clock)
        tasks = tasks or PeriodicTasks(clock)
        self._watch_check = tasks.task("watches", self._check_watches, every=FRESH_SECONDS, retry=FRESH_SECONDS)

    async def on_start(self) -> None:  # type: ignore[override]  # see Actor.on_start
        self.spawn(self._watch_check.run(), name="watches")

    async def terminate(self, failure: BaseException | None) -> None:  # noqa: ARG002  # the same whatever the reason
        """Watches do not survive a restart: streams are closed and clients reconnect."""
        self._watches.revoke(lambda _principal: True)
        self._passwords.close()

    async def receive(self, message: Any) -> Any:
        received: Accounts = message
        match received:
            case Authenticate():
                return self._authenticate(received)
            case Watch() | IssueTicket() | ShowTicket():
                return self.reply_later(self._stream(received))
            case SignUp() | SignIn() | SignInTotp() | Refresh() | SignOut() | Malformed():
                return self.reply_later(self._gate.judged(received, self._public))
            case RevokeSession() | CreateKey() | RevokeKey() | SetUpTotp() | VerifyTotp() | DisableTotp():
                return self.reply_later(self._gate.judged(received, self._own))
            case (
                ResendVerification()
                | VerifyEmail()
                | UpdateProfile()
                | RequestReset()
                | ResetPassword()
                | ChangePassword()
            ) | (CreateInvite() | RevokeInvite() | LookUpInvite() | AcceptInvite()):
                return self.reply_later(self._gate.judged(received, self._emails.carry_out))
            case Denied():
                return self._deny(received.principal, received.request, received.status, received.code)
            case ChangeMember():
                return self.reply_later(self._change_member(received))
            case SwitchTenant():
                return self.reply_later(self._switch_tenant(received))
            case Invalidate():
                return self._invalidate(received)
            case _:
                assert_never(received)

    def _public(
        self, message: SignUp | SignIn | SignInTotp | Refresh | SignOut | Malformed
    ) -> Coroutine[Any, Any, Any]:
        """Public operations, without a bearer token."""
        match message:
            case SignUp():
                return counted("sign_up", self._sign_up(message))
            case SignIn():
                return counted("sign_in", self._sign_in_flows.sign_in(message))
            case SignInTotp():
                return self._second_factor.carry_out(message)
            case Refresh():
                return counted("refresh", self._refresh_flow.refresh(message))
            case SignOut():
                return self._sign_out(message)
            case Malformed():
                return _no_work()
            case _:
                assert_never(message)

    def _own(self, message: RevokeSession | CreateKey | RevokeKey | TotpMessage) -> Coroutine[Any, Any, Any]:
        """Operations on one's own sessions, API keys and second factor."""
        match message:
            case RevokeSession():
                return self._sign_out_flows.revoke(message)
            case CreateKey():
                return self._keys.create(message)
            case RevokeKey():
                return self._keys.revoke(message)
            case SetUpTotp() | VerifyTotp() | DisableTotp():
                return self._second_factor.carry_out(message)
            case _:
                assert_never(message)

    async def _sign_up(self, message: SignUp) -> SignedIn:
        signed_in = await self._sign_in_flows.sign_up(message)
        self._emails.on_enqueued()
        return signed_in

    async def _sign_out(self, message: SignOut) -> None:
        presented = None if message.bearer is None else await self._presented(message.bearer)
        await self._sign_out_flows.sign_out(presented, message.refresh_token, message.origin)

    async def _presented(self, bearer: str) -> PresentedToken | None:
        """The principal and claims of a valid access token. API keys cannot sign out."""
        try:
            claims = self._access.read(bearer, self._clock.now())
            entry = self._principals.cached(claims)
            person = entry.person if entry is not None else await self._principals.read(claims)
            return PresentedToken(self._judge(claims, person, None), claims)
        except Unauthorized:
            return None

    def _authenticate(self, message: Authenticate) -> Any:
        if message.bearer.startswith(PREFIX):
            return self._authenticate_key(message)
        claims = self._access.read(message.bearer, self._clock.now())
        entry = self._principals.cached(claims)
        if entry is None:
            return self.reply_later(self._read_and_judge(claims, message.request))
        return self._judge(claims, entry.person, message.request)

    def _authenticate_key(self, message: Authenticate) -> Any:
        """Malformed keys are refused without a query; cached ones are answered from memory."""
        if not well_formed(message.bearer):
            raise Unauthorized("unauthorized")
        key_hash = hashed(message.bearer)
        bearer = self._keys.cached(key_hash)
        entry = None if bearer is None else self._principals.cached(bearer)
        if entry is None:
            return self.reply_later(self._read_and_judge_key(key_hash, message.request))
        return self._judge_key(entry.person, message.request)

    async def _read_and_judge_key(self, key_hash: bytes, request: DeniedRequest | None) -> Principal:
        bearer = self._keys.cached(key_hash) or await self._keys.find(key_hash)
        return self._judge_key(None if bearer is None else await self._principals.read(bearer), request)

    def _judge_key(self, person: Person | None, request: DeniedRequest | None) -> Principal:
        """Keys survive password changes, so no token version is compared: user and key have to be active."""
        if person is None:
            raise Unauthorized("unauthorized")
        principal, key_id = person.principal, person.principal.api_key_id
        if not is_active(person, self._clock.now().timestamp()):
            if request is not None:
                by_key = replace(request.origin, via="api_key", api_key_id=key_id)
                self._deny(principal, replace(request, origin=by_key), 401, "unauthorized")
            raise Unauthorized("unauthorized")
        if key_id is not None and self._keys.due(key_id):
            self.spawn(self._keys.use(principal.tenant_id, key_id), name="key_used")
        return principal

    async def _read_and_judge(self, claims: Claims, request: DeniedRequest | None) -> Principal:
        return self._judge(claims, await self._principals.read(claims), request)

    def _judge(self, claims: Claims, person: Person | None, request: DeniedRequest | None) -> Principal:
        if person is not None:
            principal = authorize(claims, person, self._clock.now().timestamp())
            if principal is not None:
                return principal
            if request is not None:
                self._deny(person.principal, request, 401, "unauthorized")
        raise Unauthorized("unauthorized")

    async def _stream(self, message: Watch | IssueTicket | ShowTicket) -> Any:
        """Operations for streams: watches and tickets."""
        match message:
            case Watch():
                return await self._watch(message.principal)
            case IssueTicket():
                return self._tickets.issue(message, self._clock.now())
            case ShowTicket():
                return await self._show_ticket(message)
            case _:
                assert_never(message)

    async def _show_ticket(self, presented: ShowTicket) -> Principal:
        now = self._clock.now()
        claims = self._tickets.read(presented, now)
        entry = self._principals.cached(claims)
        person = entry.person if entry is not None else await self._principals.read(claims)
        if person is not None and claims.borne_out_by(person, now.timestamp()):
            return replace(person.principal, token_id=claims.token_id)
        if person is not None:
            self._deny(person.principal, presented.request, 401, "unauthorized")
        raise Unauthorized("unauthorized")

    async def _watch(self, principal: Principal) -> AccessWatch:
        """Watch first, then read, so that no revocation in between is missed."""
        watch = self._watches.add(principal)
        entry = self._principals.cached(principal)
        person = entry.person if entry is not None else await self._principals.read(principal)
        if not is_active(person, self._clock.now().timestamp()):
            watch.revoke()
        return watch

    async def _check_watches(self) -> None:
        """Find revocations not sent to this actor: rows changed by hand, expired families."""
        held = self._watches.held()
        if not held:
            return
        principals = [watch.principal for watch in held]
        for index in await self._storage.ask(FindRevoked(principals=principals, now=self._clock.now())):
            held[index].revoke()

    async def _change_member(self, message: ChangeMember) -> Member:
        change = Change(
            tenant_id=message.tenant_id,
            user_id=message.user_id,
            role=message.role,
            is_active=message.is_active,
            by=message.by,
            origin=message.origin,
            now=self._clock.now(),
        )
        try:
            member = await self._storage.ask(change)
        finally:  # also when the outcome is unknown: reading once too often is the harmless mistake
            self._principals.forget(lambda key: key.user_id == message.user_id)
        if not member.is_active:
            self._watches.revoke(lambda principal: principal.user_id == message.user_id)
        return member

    async def _switch_tenant(self, message: SwitchTenant) -> None:
        try:
            await self._storage.ask(SwitchAgency(tenant_id=message.tenant_id, is_active=message.is_active))
        finally:
            self._principals.forget(lambda key: key.tenant_id == message.tenant_id)
        if not message.is_active:
            self._watches.revoke(lambda principal: principal.tenant_id == message.tenant_id)

    def _invalidate(self, message: Invalidate) -> None:
        def meant(tenant_id: str, user_id: str, *credential_ids: str | None) -> bool:
            person = message.user_id is None or message.user_id == user_id
            return (
                tenant_id == message.tenant_id
                and person
                and (message.credential_id is None or message.credential_id in credential_ids)
            )

        self._principals.forget(lambda key: meant(*key))
        if message.ended:
            self._watches.revoke(lambda p: meant(p.tenant_id, p.user_id, p.family_id, p.token_id, p.api_key_id))

    def _deny(self, principal: Principal, request: DeniedRequest, status: int, code: str) -> None:
        event = self._denial_audit.event(principal, request, status, code)
        if event is not None:
            self._record(event)

    def _record(self, entry: AuditEvent) -> None:
        self.spawn(record(self._storage, entry), name="record")
