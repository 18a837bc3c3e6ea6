"""The owner of the throttles: attempts are charged before they are judged, and those that were right get it back.

Its memory is the truth. Redis is read at the start and written behind, so that no sign-in ever waits for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, assert_never

from ..audit_refusals import record
from ..domain import audit
from ..domain.audit import Origin
from ..domain.errors import Throttled
from ..domain.identity import Principal, network_of, site_of
from ..domain.ids import uuid7
from ..domain.throttles import OK, PASSWORD_COUNTERS, BucketKey, Charge, Operation, Rules, Throttles
from ..foundation import metrics
from ..foundation.clock import Clock
from ..foundation.config import Settings
from ..runtime.actor import Actor, Message, Recipient
from ..runtime.periodic import PeriodicTasks
from .known_networks import AccountRef, CachedNetworks, KnownNetworks
from .persistence import WriteBehind

REFUSED: Final = "too_many_attempts"
SITE_TIMES: Final = 10
"""So many times what a network has for free, the /48 it belongs to has: whoever has one has all its networks."""
FAREWELL: Final = 1.0
"""Seconds the last counts get to reach Redis at a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody about to be judged: the account they name or are, if any, and where they come from."""

    operation: Operation
    origin: Origin
    email: str | None = None
    """In normal form, whether or not it is anybody's; of public operations."""
    principal: Principal | None = None
    """Of operations behind a bearer."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an attempt was charged with. Its holder tells how it ended with ``End``."""

    attempt: Attempt
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class Begin(Message[Receipt]):
    """May this attempt be judged? It is charged at once. Throttled ``too_many_attempts`` while a wait stands."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class End(Message[None]):
    """An attempt was judged: ``ok``, or the code it was refused with."""

    receipt: Receipt
    outcome: str


@dataclass(frozen=True, slots=True)
class Forgive(Message[None]):
    """A person has a new password by letter: guesses at the old one are forgotten."""

    email: str
    user_id: str


Guards = Begin | End | Forgive


def rules(settings: Settings) -> Rules:
    """The figures as they are configured."""
    return Rules(
        pair=settings.guard_free_attempts,
        account=settings.guard_account_free_attempts,
        network=settings.guard_network_free_attempts,
        networks=settings.guard == "on",
        max_delay=settings.guard_max_delay_seconds,
        window=settings.guard_window_seconds,
    )


class ThrottleActor(Actor):
    """Decides from memory. It looks into the database only for who is at home in a network, and seldom."""

    def __init__(
        self,
        storage: Recipient,
        settings: Settings,
        clock: Clock,
        throttles: Throttles | None = None,
        tasks: PeriodicTasks | None = None,
    ) -> None:
        """``throttles`` are those of the incarnation before: a defect of ours forgives nobody."""
        super().__init__()
        self._storage = storage
        self._clock = clock
        self._throttles = Throttles(rules(settings)) if throttles is None else throttles
        self._rules = self._throttles.rules
        self._secret = hashlib.sha256("".join(list(settings.signing_keys.values())[:1]).encode()).digest()
        self._acquaintances = KnownNetworks(storage, clock, self.spawn)
        url = settings.redis_url if settings.guard != "off" else None
        self._keeping = None if url is None else WriteBehind(url, self._throttles, clock, tasks or PeriodicTasks(clock))

    async def on_start(self) -> None:  # type: ignore[override]  # see Actor.on_start
        if self._keeping is not None:
            await self._keeping.read()
            self.spawn(self._keeping.run(), name="keeping")

    async def terminate(self, failure: BaseException | None) -> None:  # noqa: ARG002  # the same whatever the reason
        if self._keeping is not None:
            await self._keeping.close(FAREWELL)

    async def receive(self, message: Any) -> Any:
        known: Guards = message
        match known:
            case Begin():
                return self._begin(known.attempt)
            case End():
                return self._end(known.receipt, known.outcome)
            case Forgive():
                return self._forgive(known)
            case _:
                assert_never(known)

    def _begin(self, attempt: Attempt) -> Any:
        """A stranger's wait may be none of an acquaintance's; only then, and once, it has to be known who asks."""
        self._refuse_in_wait(attempt, self._own(attempt))
        name = _name(attempt)
        entry = None if name is None else self._acquaintances.known(name)
        if name is not None and entry is None and self._standing(self._shared(attempt)):
            return self.reply_later(self._read_and_charge(attempt, name))
        return self._charge(attempt, entry)

    async def _read_and_charge(self, attempt: Attempt, name: AccountRef) -> Receipt:
        entry = await self._acquaintances.read(name)
        self._refuse_in_wait(attempt, self._own(attempt))
        return self._charge(attempt, entry)

    def _charge(self, attempt: Attempt, entry: CachedNetworks | None) -> Receipt:
        """Charge at once, without a pause in which another could slip in between the look and the charge."""
        keys = self._own(attempt)
        if entry is None or not entry.knows(network_of(attempt.origin.ip)):
            shared = self._shared(attempt)
            self._refuse_in_wait(attempt, shared)
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
            self._doubt(receipt)
            return
        self._give_back(receipt.charges)
        if outcome != OK:
            return
        if attempt.operation.clears:
            own = self._own(attempt)
            for key in own:
                self._throttles.clear(key)
            self._changed(own)
        name = _name(attempt)
        if name is not None:
            self._acquaintances.forget(name)

    def _doubt(self, receipt: Receipt) -> None:
        """An event of somebody not known yet counts as a stranger's until it is found out who they are."""
        name = _name(receipt.attempt)
        shared = self._shared(receipt.attempt)
        charges = tuple(charge for charge in receipt.charges if charge.key in shared)
        if name is not None and charges and self._acquaintances.known(name) is None:
            self.spawn(self._find_out(receipt.attempt, name, charges), name="find_out")

    async def _find_out(self, attempt: Attempt, name: AccountRef, charges: tuple[Charge, ...]) -> None:
        entry = await self._acquaintances.read(name)
        if entry is not None and entry.knows(network_of(attempt.origin.ip)):
            self._give_back(charges)

    def _give_back(self, charges: Iterable[Charge]) -> None:
        for charge in charges:
            self._throttles.give_back(charge)
        self._changed([charge.key for charge in charges])

    def _forgive(self, forgiven: Forgive) -> None:
        for who in (forgiven.email, forgiven.user_id):
            for counter in PASSWORD_COUNTERS:
                self._changed(self._throttles.clear_account(counter, self._hash(who)))

    def _refuse_in_wait(self, attempt: Attempt, keys: dict[BucketKey, int]) -> None:
        """Throttled, by the longest wait that stands, if one does."""
        standing = self._standing(keys)
        if not standing:
            return
        seconds, key = max(standing)
        metrics.AUTH_THROTTLED_TOTAL.labels(attempt.operation.name, key.kind).inc()
        if self._throttles.first_refusal(key):
            self.spawn(self._audit(attempt, key), name="audit")
        raise Throttled(REFUSED, retry_after=seconds)

    def _standing(self, keys: dict[BucketKey, int]) -> list[tuple[float, BucketKey]]:
        now = self._now()
        waits = [(self._throttles.wait(key, free, now), key) for key, free in keys.items()]
        return [(seconds, key) for seconds, key in waits if seconds > 0]

    async def _audit(self, attempt: Attempt, key: BucketKey) -> None:
        """Into the books of the agency whose account it is about; an address that is nobody's is in none."""
        name = _name(attempt)
        if attempt.principal is not None:
            tenant_id, user_id = attempt.principal.tenant_id, attempt.principal.user_id
        else:
            entry = None if name is None else await self._acquaintances.read(name)
            if entry is None or entry.account is None:
                return
            tenant_id, user_id = entry.account.tenant_id, entry.account.user_id
        told = {"operation": attempt.operation.name, "bucket": key.kind}
        event = audit.AuditEvent(
            id=uuid7(),
            tenant_id=tenant_id,
            created_at=self._clock.now(),
            kind="auth.throttled",
            status="rejected",
            actor_kind="system",
            inputs=attempt.origin.inputs() | told,
            entity_refs={"user_id": user_id},
        )
        await record(self._storage, event)

    def _own(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets that every caller has, with what is free in them."""
        counter = attempt.operation.counter
        found: dict[BucketKey, int] = self._anybodys(attempt) if attempt.operation.everybody else {}
        free = self._rules.free(attempt.operation, "pair")
        if free is not None:
            found[BucketKey("pair", counter, f"{self._account(attempt)}.{self._network(attempt)}")] = free
        free = self._rules.free(attempt.operation, "tenant")
        if free is not None and attempt.principal is not None:
            day = f"{self._clock.now():%Y%m%d}"
            found[BucketKey("tenant", counter, f"{self._hash(attempt.principal.tenant_id)}.{day}")] = free
        return found

    def _shared(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets of unknown networks."""
        return {} if attempt.operation.everybody else self._anybodys(attempt)

    def _anybodys(self, attempt: Attempt) -> dict[BucketKey, int]:
        """The buckets of an account from wherever, of a network, and of the site an IPv6 network belongs to."""
        counter = attempt.operation.counter
        found: dict[BucketKey, int] = {}
        free = self._rules.free(attempt.operation, "account")
        if free is not None:
            found[BucketKey("account", counter, self._account(attempt))] = free
        free = self._rules.free(attempt.operation, "network")
        if free is not None:
            found[BucketKey("network", counter, self._network(attempt))] = free
            site = site_of(attempt.origin.ip)
            if site is not None:
                found[BucketKey("network", counter, self._hash(site))] = free * SITE_TIMES
        return found

    def _account(self, attempt: Attempt) -> str:
        return self._hash(attempt.principal.user_id if attempt.principal is not None else attempt.email or "")

    def _network(self, attempt: Attempt) -> str:
        return self._hash(network_of(attempt.origin.ip) or "nowhere")

    def _hash(self, who: str) -> str:
        """Keyed: whoever reads Redis cannot try addresses."""
        return hashlib.blake2b(who.encode(), digest_size=16, key=self._secret).hexdigest()

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _changed(self, keys: Iterable[BucketKey]) -> None:
        if self._keeping is not None:
            self._keeping.changed(keys)


def _name(attempt: Attempt) -> AccountRef | None:
    """The account as it may be looked up; None where nobody is named."""
    if attempt.principal is not None:
        return AccountRef(user_id=attempt.principal.user_id)
    return None if attempt.email is None else AccountRef(email=attempt.email)
