"""ThrottleActor: attempts are charged before credentials are checked, and refunded on success.

Its memory is authoritative. Redis is read at the start and written behind, so no sign-in waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never

from ...storage.accounts.known_networks import AccountNetworks
from ..audit_refusals import record
from ..domain.audit import AuditEvent, Origin
from ..domain.errors import Refusal, Throttled
from ..domain.identity import Principal, network_of, site_of
from ..domain.throttles import OK, PASSWORD_COUNTERS, BucketKey, Charge, Operation, Rules, Throttles
from ..foundation import metrics
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Actor, Message, NoReply, Outcome, Recipient
from ..runtime.periodic import PeriodicTasks
from .known_networks import AccountRef, KnownNetworks, knows
from .persistence import ChangesWritten, TakeChanges, WriteBehind

REFUSED: Final = "too_many_attempts"
SITE_TIMES: Final = 10
"""A /48 has this many times the free attempts of one network, as one customer usually owns all of it."""
FLUSH_TIMEOUT: Final = 1.0
"""Seconds for the last write to Redis at shutdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to use a credential: the account it names, if any, and where it comes from."""

    operation: Operation
    origin: Origin
    email: str | None = None
    """Of public operations: the normalised address, registered or not."""
    principal: Principal | None = None
    """Of authenticated operations."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The charges of an attempt. Its holder reports the outcome with ``End``."""

    attempt: Attempt
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class Begin(Message[Receipt]):
    """Admit and charge an attempt. Throttled ``too_many_attempts`` during a delay."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class End(Message[None]):
    """Report the outcome of an attempt: ``ok``, or the code of its refusal."""

    receipt: Receipt
    outcome: str


@dataclass(frozen=True, slots=True)
class ClearGuesses(Message[None]):
    """Clear the counters of guesses at a password that was reset by e-mail."""

    email: str
    user_id: str


Protocol = Begin | End | ClearGuesses | TakeChanges | ChangesWritten


def rules(settings: Settings) -> Rules:
    """The configured limits."""
    return Rules(
        pair=settings.throttle_free_attempts,
        account=settings.throttle_account_free_attempts,
        network=settings.throttle_network_free_attempts,
        networks=settings.throttle == "on",
        max_delay=settings.throttle_max_delay_seconds,
        window=settings.throttle_window_seconds,
    )


class ThrottleActor(Actor[Protocol]):
    """Decides from memory. It reads the database only for known networks, and rarely."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        throttles: Throttles | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        """``throttles`` are the previous incarnation's: a restart does not reset counters."""
        super().__init__()
        self._storage = storage
        self._clock = clock
        self._throttles = Throttles(rules(settings)) if throttles is None else throttles
        self._rules = self._throttles.rules
        self._secret = hashlib.sha256("".join(list(settings.signing_keys.values())[:1]).encode()).digest()
        self._known_networks = KnownNetworks(storage, clock, self.pipe)
        url = settings.redis_url if settings.throttle != "off" else None
        self._persistence = (
            None if url is None else WriteBehind(url, self._throttles, clock, tasks or PeriodicTasks(clock), self.ref)
        )

    async def initialise(self) -> None:
        if self._persistence is not None:
            await self._persistence.read()
            self.spawn(self._persistence.run(), name="persistence")

    async def terminate(self, _failure: BaseException | None) -> None:
        if self._persistence is not None:
            await self._persistence.close(FLUSH_TIMEOUT)

    async def receive(self, message: Protocol) -> Any:
        match message:
            case Begin():
                return self._begin(message.attempt)
            case End():
                return self._end(message.receipt, message.outcome)
            case ClearGuesses():
                return self._forgive(message)
            case TakeChanges():
                return {} if self._persistence is None else self._persistence.take_changes()
            case ChangesWritten():
                return None if self._persistence is None else self._persistence.written(message)
            case _:
                assert_never(message)

    def _begin(self, attempt: Attempt) -> Receipt | NoReply:
        """Charge the attempt, or refuse it during a delay.

        The shared delay does not apply to known networks; they are looked up only while such a delay is active.
        """
        self._refuse_during_delay(attempt, self._own(attempt))
        name = _name(attempt)
        if name is None:
            return self._charge(attempt, None)
        entry = self._known_networks.cached(name)
        if entry is not None:
            return self._charge(attempt, entry.value)
        if not self._delays(self._shared(attempt)):
            return self._charge(attempt, None)
        return self.reply_after(self._known_networks.read(name), partial(self._looked_up, attempt))

    def _looked_up(self, attempt: Attempt, outcome: Outcome[AccountNetworks | None]) -> Receipt:
        self._refuse_during_delay(attempt, self._own(attempt))
        return self._charge(attempt, _networks(outcome))

    def _charge(self, attempt: Attempt, account: AccountNetworks | None) -> Receipt:
        keys = self._own(attempt)
        if not knows(account, network_of(attempt.origin.ip)):
            shared = self._shared(attempt)
            self._refuse_during_delay(attempt, shared)
            keys |= shared
        return Receipt(attempt, () if attempt.operation.afterwards else self._count(keys))

    def _count(self, keys: Iterable[BucketKey]) -> tuple[Charge, ...]:
        now = self._now()
        return tuple(self._throttles.charge(key, now) for key in keys)

    def _end(self, receipt: Receipt, outcome: str) -> None:
        attempt = receipt.attempt
        if attempt.operation.counts(outcome):
            late = attempt.operation.afterwards
            charges = self._count(self._own(attempt) | self._shared(attempt)) if late else receipt.charges
            self._changed([charge.key for charge in charges])
            self._refund_if_known(receipt)
            return
        self._refund(receipt.charges)
        if outcome != OK:
            return
        if attempt.operation.clears:
            own = self._own(attempt)
            for key in own:
                self._throttles.clear(key)
            self._changed(own)
        name = _name(attempt)
        if name is not None:
            self._known_networks.forget(name)

    def _refund_if_known(self, receipt: Receipt) -> None:
        """Look up an uncached account; its shared charges are refunded if the network turns out to be known."""
        name = _name(receipt.attempt)
        shared = self._shared(receipt.attempt)
        charges = tuple(charge for charge in receipt.charges if charge.key in shared)
        if name is not None and charges and self._known_networks.cached(name) is None:
            refund = partial(self._refund_known, receipt.attempt, charges)
            self.when_done(self._known_networks.read(name), refund)

    def _refund_known(
        self, attempt: Attempt, charges: tuple[Charge, ...], outcome: Outcome[AccountNetworks | None]
    ) -> None:
        if knows(_networks(outcome), network_of(attempt.origin.ip)):
            self._refund(charges)

    def _refund(self, charges: Iterable[Charge]) -> None:
        for charge in charges:
            self._throttles.refund(charge)
        self._changed([charge.key for charge in charges])

    def _forgive(self, forgiven: ClearGuesses) -> None:
        for account in (forgiven.email, forgiven.user_id):
            for counter in PASSWORD_COUNTERS:
                self._changed(self._throttles.clear_account(counter, self._hash(account)))

    def _refuse_during_delay(self, attempt: Attempt, keys: dict[BucketKey, int]) -> None:
        """Raise ``Throttled`` with the longest active delay, if there is one."""
        delays = self._delays(keys)
        if not delays:
            return
        seconds, key = max(delays)
        metrics.AUTH_THROTTLED_TOTAL.labels(attempt.operation.name, key.kind).inc()
        if self._throttles.first_refusal(key):
            self._audit(attempt, key)
        raise Throttled(REFUSED, retry_after=seconds)

    def _delays(self, keys: dict[BucketKey, int]) -> list[tuple[float, BucketKey]]:
        now = self._now()
        waits = [(self._throttles.wait(key, free, now), key) for key, free in keys.items()]
        return [(seconds, key) for seconds, key in waits if seconds > 0]

    def _audit(self, attempt: Attempt, key: BucketKey) -> None:
        """Write an audit event for the account's agency; none for an unregistered address."""
        name = _name(attempt)
        if attempt.principal is not None:
            self._record(attempt, key, attempt.principal.tenant_id, attempt.principal.user_id)
        elif name is not None:
            entry = self._known_networks.cached(name)
            if entry is None:
                self.when_done(self._known_networks.read(name), partial(self._audit_account, attempt, key))
            else:
                self._audit_account(attempt, key, Outcome(entry.value))

    def _audit_account(self, attempt: Attempt, key: BucketKey, outcome: Outcome[AccountNetworks | None]) -> None:
        account = _networks(outcome)
        if account is not None:
            self._record(attempt, key, account.tenant_id, account.user_id)

    def _record(self, attempt: Attempt, key: BucketKey, tenant_id: str, user_id: str) -> None:
        details = {"operation": attempt.operation.name, "bucket": key.kind}
        event = AuditEvent.by_system(
            "auth.throttled",
            tenant_id,
            self._clock.now(),
            origin=attempt.origin,
            status="rejected",
            inputs=details,
            refs={"user_id": user_id},
        )
        self.spawn(record(self._storage, event), name="audit")

    def _own(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets that apply to every caller, with their free attempts."""
        counter = attempt.operation.counter
        buckets: dict[BucketKey, int] = self._wide(attempt) if attempt.operation.everybody else {}
        free = self._rules.free(attempt.operation, "pair")
        if free is not None:
            buckets[BucketKey("pair", counter, f"{self._account(attempt)}.{self._network(attempt)}")] = free
        free = self._rules.free(attempt.operation, "tenant")
        if free is not None and attempt.principal is not None:
            day = f"{self._clock.now():%Y%m%d}"
            buckets[BucketKey("tenant", counter, f"{self._hash(attempt.principal.tenant_id)}.{day}")] = free
        return buckets

    def _shared(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets of unknown networks."""
        return {} if attempt.operation.everybody else self._wide(attempt)

    def _wide(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets of the account from all networks, of the network, and of its IPv6 /48."""
        counter = attempt.operation.counter
        buckets: dict[BucketKey, int] = {}
        free = self._rules.free(attempt.operation, "account")
        if free is not None:
            buckets[BucketKey("account", counter, self._account(attempt))] = free
        free = self._rules.free(attempt.operation, "network")
        if free is not None:
            buckets[BucketKey("network", counter, self._network(attempt))] = free
            site = site_of(attempt.origin.ip)
            if site is not None:
                buckets[BucketKey("network", counter, self._hash(site))] = free * SITE_TIMES
        return buckets

    def _account(self, attempt: Attempt) -> str:
        return self._hash(attempt.principal.user_id if attempt.principal is not None else attempt.email or "")

    def _network(self, attempt: Attempt) -> str:
        return self._hash(network_of(attempt.origin.ip) or "nowhere")

    def _hash(self, name: str) -> str:
        """Keyed, so that addresses cannot be guessed from what is in Redis."""
        return hashlib.blake2b(name.encode(), digest_size=16, key=self._secret).hexdigest()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _changed(self, keys: Iterable[BucketKey]) -> None:
        if self._persistence is not None:
            self._persistence.changed(keys)


def _name(attempt: Attempt) -> AccountRef | None:
    """The account to look up; None if the attempt names none."""
    if attempt.principal is not None:
        return AccountRef(user_id=attempt.principal.user_id)
    return None if attempt.email is None else AccountRef(email=attempt.email)


def _networks(outcome: Outcome[AccountNetworks | None]) -> AccountNetworks | None:
    """The account that was looked up; ``None`` also if it could not be, which counts as an unknown network."""
    if outcome.error is not None and not isinstance(outcome.error, Refusal):
        raise outcome.error
    return None if outcome.error is not None else outcome.value
