"""The accounts actor: sign-in, authentication, and the access of open streams."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, assert_never

from ...storage.accounts.members import Change, Member, SwitchAgency
from ...storage.accounts.principals import FindRevoked
from ...storage.accounts.refresh_tokens import Rules
from ...storage.engine.sealing import Sealing
from ..audit_refusals import record
from ..domain.audit import AuditEvent, Origin
from ..domain.identity import Principal, Role
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Actor, Message, NoReply, Outcome, Recipient
from ..runtime.periodic import PeriodicTasks
from .access_watch import AccessWatch, AccessWatches
from .api_keys import ApiKeys, CreateKey, RevokeKey
from .authentication import Authenticate, Authentication, Denied, Watch
from .denial_audit import DeniedRequest
from .email_flows import EmailFlows, EmailMessage
from .email_verification import ResendVerification, UpdateProfile, VerifyEmail
from .hash_queue import PER_ACCOUNT, PER_NETWORK, Bounds
from .invites import AcceptInvite, CreateInvite, LookUpInvite, RevokeInvite
from .login_sessions import LoginSessions, SignedIn
from .outgoing import OutgoingEmails
from .password_reset import ChangePassword, RequestReset, ResetPassword
from .passwords import Passwords
from .principals import FRESH_SECONDS, Principals
from .refresh_tokens import Refresh, RefreshFlow, TokenPair
from .revocation import Revocation
from .second_factor import DisableTotp, SecondFactor, SetUpTotp, SignInTotp, TotpMessage, VerifyTotp
from .sign_in import SignIn, SignInFlows, SignUp, counted
from .sign_out import RevokeSession, SignOut, SignOutFlows
from .throttling import Malformed, ThrottleGate
from .tickets import IssueTicket, ShowTicket, Tickets
from .tokens import AccessTokens, KeyRing, RefreshTokens

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMember(Message[Member]):
    """Give a member another role or switch them off or on; effective on their next request. See ``members.Change``."""

    tenant_id: str
    user_id: str
    role: Role | None = None
    is_active: bool | None = None
    by: Principal | None
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


Protocol = (
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


def _bounds(throttle: str) -> Bounds:
    """Limits of the hash queue, where throttles count accounts and networks."""
    return Bounds(
        account=None if throttle == "off" else PER_ACCOUNT,
        network=PER_NETWORK if throttle == "on" else None,
    )


async def _no_work() -> None:
    """A malformed request is only counted."""


class AccountsActor(Actor[Protocol]):
    """Authenticates from its cache; database queries and hashes run in the background."""

    inline = (Authenticate,)

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        on_enqueued: Callable[[], None] = lambda: None,
        throttle: Recipient | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        """``on_enqueued`` is called when an e-mail may be due; without ``throttle`` nothing is throttled."""
        super().__init__()
        self._gate = ThrottleGate(throttle)
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
            bounds=_bounds(settings.throttle if throttle is not None else "off"),
        )
        refresh = RefreshTokens(ring)
        verified_only = not settings.auth_skip_email_verification
        families = LoginSessions(
            self._access,
            refresh,
            refresh_ttl=settings.auth_refresh_ttl_seconds,
            max_age=settings.auth_family_max_age_seconds,
        )
        self._principals = Principals(storage, clock, self.pipe)
        self._watches = AccessWatches()
        revocation = Revocation(self._principals, self._watches, self.run_soon)
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
        self._keys = ApiKeys(storage, clock, Sealing(settings.sealing_keys), revocation, self.pipe)
        self._authentication = Authentication(
            self,
            access=self._access,
            tickets=self._tickets,
            keys=self._keys,
            principals=self._principals,
            watches=self._watches,
            clock=clock,
            record=self._record,
        )
        tasks = tasks or PeriodicTasks(clock)
        self._watch_check = tasks.task("watches", self._check_watches, every=FRESH_SECONDS, retry=FRESH_SECONDS)

    async def initialise(self) -> None:
        self.spawn(self._watch_check.run(), name="watches")

    async def terminate(self, _failure: BaseException | None) -> None:
        """Watches do not survive a restart: streams are closed and clients reconnect."""
        self._watches.revoke(lambda _principal: True)
        self._passwords.close()

    async def receive(self, message: Protocol) -> Any:  # noqa: C901 -- one match, one line a case
        match message:
            case Authenticate():
                return self._authentication.authenticate(message)
            case Watch():
                return self._authentication.watch(message.principal)
            case IssueTicket():
                return self._tickets.issue(message, self._clock.now())
            case ShowTicket():
                return self._authentication.show_ticket(message)
            case SignOut():
                return self.reply_later(self._sign_out(message))
            case SignUp() | SignIn() | SignInTotp() | Refresh() | Malformed():
                return self.reply_later(self._gate.judged(message, self._public))
            case RevokeSession() | CreateKey() | RevokeKey() | SetUpTotp() | VerifyTotp() | DisableTotp():
                return self.reply_later(self._gate.judged(message, self._own))
            case (
                ResendVerification()
                | VerifyEmail()
                | UpdateProfile()
                | RequestReset()
                | ResetPassword()
                | ChangePassword()
            ) | (CreateInvite() | RevokeInvite() | LookUpInvite() | AcceptInvite()):
                return self.reply_later(self._gate.judged(message, self._emails.carry_out))
            case Denied():
                return self._authentication.deny(message.principal, message.request, message.status, message.code)
            case ChangeMember():
                return self._change_member(message)
            case SwitchTenant():
                return self._switch_tenant(message)
            case Invalidate():
                return self._invalidate(message)
            case _:
                assert_never(message)

    def _public(self, message: SignUp | SignIn | SignInTotp | Refresh | Malformed) -> Coroutine[Any, Any, Any]:
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

    def _sign_out(self, message: SignOut) -> Coroutine[Any, Any, None]:
        presented = None if message.bearer is None else self._authentication.presented(message.bearer)
        return self._sign_out_flows.sign_out(presented, message.refresh_token, message.origin)

    async def _sign_up(self, message: SignUp) -> SignedIn:
        signed_in = await self._sign_in_flows.sign_up(message)
        self._emails.on_enqueued()
        return signed_in

    async def _check_watches(self) -> None:
        """Find revocations not sent to this actor: rows changed by hand, expired families."""
        held = self._watches.held()
        if not held:
            return
        principals = [watch.principal for watch in held]
        for index in await self._storage.ask(FindRevoked(principals=principals, now=self._clock.now())):
            self.run_soon(held[index].revoke)

    def _change_member(self, message: ChangeMember) -> NoReply:
        change = Change(
            tenant_id=message.tenant_id,
            user_id=message.user_id,
            role=message.role,
            is_active=message.is_active,
            by=message.by,
            origin=message.origin,
            now=self._clock.now(),
        )
        return self.reply_after(self._storage.ask(change), partial(self._member_changed, message.user_id))

    def _member_changed(self, user_id: str, outcome: Outcome[Member]) -> Member:
        """Also when the outcome is unknown the entry is evicted: reading once too often is the harmless mistake."""
        self._principals.forget(lambda key: key.user_id == user_id)
        member = outcome.value
        if not member.is_active:
            self._watches.revoke(lambda principal: principal.user_id == user_id)
        return member

    def _switch_tenant(self, message: SwitchTenant) -> NoReply:
        switch = SwitchAgency(tenant_id=message.tenant_id, is_active=message.is_active)
        return self.reply_after(self._storage.ask(switch), partial(self._tenant_switched, message))

    def _tenant_switched(self, message: SwitchTenant, outcome: Outcome[None]) -> None:
        self._principals.forget(lambda key: key.tenant_id == message.tenant_id)
        if outcome.error is not None:
            raise outcome.error
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

    def _record(self, entry: AuditEvent) -> None:
        self.spawn(record(self._storage, entry), name="record")
