"""Throttling of guesses: counters, free attempts, and the delays that follow.

Times are seconds of the wall clock, so that a count outlives the process that made it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

Kind = Literal["pair", "account", "network", "tenant"]
"""Whose events a bucket holds: one account's from one network, one account's from all networks it is not known in,
one network's, or one agency's of a day."""

OK: Final = "ok"
"""The outcome of an attempt that was not refused."""

DAY: Final = 86_400.0

CAPACITY: Final = 20_000
"""Buckets of each kind. Beyond it the least recently used are dropped; each cost its client an attempt."""

MAX_DOUBLINGS: Final = 30
"""Limit of doublings of a delay, far beyond any configured maximum."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """A throttled operation: which outcomes count, and how many events each kind of bucket admits without delay.

    A kind missing in ``free`` is not counted. ``counted`` holds refusal codes, or ``ok``; ``None`` counts every call.
    Operations with the same ``counter`` share buckets. With ``clears`` a success clears the pair's bucket. With
    ``everybody`` networks known to the account are delayed too. With ``afterwards`` an attempt is charged only once
    it has failed: its secret has 128 bits or more, so parallel attempts gain nothing.
    """

    name: str
    counter: str
    counted: frozenset[str] | None
    free: Mapping[Kind, int]
    clears: bool = False
    everybody: bool = False
    afterwards: bool = False

    def counts(self, outcome: str) -> bool:
        """Whether an attempt that ended so stays charged."""
        return self.counted is None or outcome in self.counted


def _operation(
    name: str, free: Mapping[Kind, int], *counted: str, counter: str = "", every: bool = False, **how: bool
) -> Operation:
    codes = None if every else frozenset(counted)
    return Operation(name=name, counter=counter or name, counted=codes, free=MappingProxyType(free), **how)


_SECRET: Final[dict[Kind, int]] = {"pair": 5, "account": 20, "network": 50}
_EMAIL: Final[dict[Kind, int]] = {"pair": 5, "network": 30}
_CLAIM: Final[dict[Kind, int]] = {"pair": 5, "account": 20, "network": 20}
_TWENTY: Final[dict[Kind, int]] = {"network": 20}
_THIRTY: Final[dict[Kind, int]] = {"network": 30}
_NO_INVITE: Final = ("invite_not_found", "invite_not_pending", "invite_expired")
_BAD_LOGIN: Final = ("invalid_credentials", "totp_invalid")

SIGN_IN: Final = _operation("sign_in", _SECRET, *_BAD_LOGIN, clears=True)
SIGN_IN_TOTP: Final = _operation("sign_in_totp", _SECRET, *_BAD_LOGIN, counter="sign_in", clears=True)
TOTP_VERIFY: Final = _operation("totp_verify", _SECRET, "totp_invalid", clears=True)
TOTP_DISABLE: Final = _operation("totp_disable", _SECRET, "invalid_password", "totp_invalid", clears=True)
CHANGE_PASSWORD: Final = _operation("change_password", _SECRET, "invalid_password", clears=True)
REFRESH: Final = _operation("refresh", {"network": 50}, "invalid_refresh_token", afterwards=True)
RESET_PASSWORD: Final = _operation("reset_password", _TWENTY, "token_invalid", afterwards=True)
VERIFY_EMAIL: Final = _operation("verify_email", _TWENTY, "token_invalid", afterwards=True)
REQUEST_RESET: Final = _operation("request_password_reset", _EMAIL, every=True)
SEND_VERIFICATION: Final = _operation("send_verification_email", _EMAIL, every=True)
SIGN_UP: Final = _operation("sign_up", _TWENTY, OK, "email_already_registered")
CHANGE_ADDRESS: Final = _operation(
    "change_address", _CLAIM, OK, "email_already_registered", counter="sign_up", everybody=True
)
"""Counted with sign-ups, since it reveals as well whether an address is registered."""
LOOK_UP_INVITE: Final = _operation("invite_lookup", _THIRTY, *_NO_INVITE, afterwards=True)
ACCEPT_INVITE: Final = _operation("accept_invite", _THIRTY, "password_too_weak", *_NO_INVITE, afterwards=True)
MALFORMED: Final = _operation("malformed", {"network": 60}, every=True)
"""Malformed unauthenticated requests: reading one costs more than sending it."""
CREATE_INVITE: Final = _operation("create_invite", {"tenant": 200}, OK)
CREATE_KEY: Final = _operation("create_api_key", {"tenant": 200}, OK)
"""However many are revoked again: each leaves a row."""

PASSWORD_COUNTERS: Final = (SIGN_IN.counter, CHANGE_PASSWORD.counter)
"""Counters cleared by a password reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The configurable limits. ``network`` replaces every network's; waits and windows in seconds."""

    pair: int = 5
    account: int = 20
    network: int | None = None
    networks: bool = True
    """Whether networks are counted; not if all clients share one."""
    max_delay: float = 900.0
    window: float = 3600.0

    def free(self, operation: Operation, kind: Kind) -> int | None:
        """How many events are free; None if none are counted."""
        listed = operation.free.get(kind)
        if listed is None or (kind == "network" and not self.networks):
            return None
        if kind == "pair":
            return self.pair
        if kind == "account":
            return self.account
        return self.network or listed if kind == "network" else listed

    def kept(self, kind: Kind) -> float:
        """After so many seconds without events a bucket is cleared. An agency's is for one day, which its name says."""
        return DAY if kind == "tenant" else self.window

    def delay(self, beyond: int) -> float:
        """The wait after the event so many ``beyond`` the free ones: 2, 4, 8, …; no longer than a bucket is kept."""
        if beyond <= 0:
            return 0.0
        return min(2.0 ** min(beyond, MAX_DOUBLINGS), self.max_delay, self.window)


class BucketKey(NamedTuple):
    """A bucket's name. ``who`` begins with the account's hash where the bucket is an account's."""

    kind: Kind
    counter: str
    who: str


class Saved(NamedTuple):
    """The persisted state of a bucket: its number of events, and the time of the last one."""

    events: int
    last: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One event in one bucket, with what is needed to refund it."""

    key: BucketKey
    number: int
    generation: int
    before: tuple[int, float]


@dataclass(slots=True)
class _Bucket:
    count: int
    last: float
    newest: int
    """The number of the charge ``last`` is the time of."""
    generation: int
    """The number of its first charge: a cleared bucket takes nothing back into its successor."""
    reported: bool = False


class Throttles:
    """All buckets of a process. Times are given with each call and are taken as they come."""

    def __init__(self, rules: Rules, *, capacity: int = CAPACITY) -> None:
        self.rules = rules
        self._capacity = capacity
        self._buckets: dict[Kind, OrderedDict[BucketKey, _Bucket]] = {
            kind: OrderedDict() for kind in ("pair", "account", "network", "tenant")
        }
        self._pairs: dict[tuple[str, str], set[BucketKey]] = {}
        """Keys of the pairs' buckets, by counter and account: a password reset clears those of one account."""
        self._numbers = count(1)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def wait(self, key: BucketKey, free: int, now: float) -> float:
        """Seconds until the next attempt is admitted; 0 if it is now. A clock put back makes no wait longer."""
        bucket = self._alive(key, now)
        if bucket is None:
            return 0.0
        delay = self.rules.delay(bucket.count - free)
        return max(0.0, min(bucket.last + delay - now, delay))

    def charge(self, key: BucketKey, now: float) -> Charge:
        """Count an event before its outcome is known."""
        number = next(self._numbers)
        buckets = self._buckets[key.kind]
        bucket = self._alive(key, now)
        if bucket is None:
            self._evict(buckets, now)
            bucket = self._add(key, _Bucket(count=0, last=now, newest=number, generation=number))
        charge = Charge(key, number, bucket.generation, (bucket.newest, bucket.last))
        bucket.count, bucket.last, bucket.newest, bucket.reported = bucket.count + 1, now, number, False
        buckets.move_to_end(key)
        return charge

    def refund(self, charge: Charge) -> None:
        """Remove the event; later events stay."""
        buckets = self._buckets[charge.key.kind]
        bucket = buckets.get(charge.key)
        if bucket is None or bucket.generation != charge.generation:
            return
        bucket.count -= 1
        if bucket.count <= 0:
            self.clear(charge.key)
        elif bucket.newest == charge.number:
            bucket.newest, bucket.last = charge.before

    def clear(self, key: BucketKey) -> None:
        """Forget all its events."""
        if self._buckets[key.kind].pop(key, None) is not None and key.kind == "pair":
            account = _account_of(key)
            self._pairs[account].discard(key)
            if not self._pairs[account]:
                del self._pairs[account]

    def clear_account(self, counter: str, account: str) -> list[BucketKey]:
        """Clear the account's events from all networks; return the cleared buckets."""
        whole = BucketKey("account", counter, account)
        found = [*self._pairs.get((counter, account), ()), *([whole] if whole in self._buckets["account"] else ())]
        for key in found:
            self.clear(key)
        return found

    def first_refusal(self, key: BucketKey) -> bool:
        """Whether this is the first refusal during the current delay."""
        bucket = self._buckets[key.kind].get(key)
        if bucket is None or bucket.reported:
            return False
        bucket.reported = True
        return True

    def saved(self, key: BucketKey) -> Saved | None:
        """The state of a bucket to persist; None if there is none."""
        bucket = self._buckets[key.kind].get(key)
        return None if bucket is None else Saved(bucket.count, bucket.last)

    def restore(self, key: BucketKey, saved: Saved, now: float) -> None:
        """Restore a persisted bucket, if the table is not full, it has not expired, and is not present."""
        buckets = self._buckets[key.kind]
        is_new = len(buckets) < self._capacity and key not in buckets
        if is_new and saved.events > 0 and now - saved.last < self.rules.kept(key.kind):
            number = next(self._numbers)
            self._add(key, _Bucket(count=saved.events, last=min(saved.last, now), newest=number, generation=number))

    def keys(self) -> Iterator[BucketKey]:
        """The keys of all buckets."""
        for buckets in self._buckets.values():
            yield from buckets

    def _add(self, key: BucketKey, bucket: _Bucket) -> _Bucket:
        self._buckets[key.kind][key] = bucket
        if key.kind == "pair":
            self._pairs.setdefault(_account_of(key), set()).add(key)
        return bucket

    def _alive(self, key: BucketKey, now: float) -> _Bucket | None:
        bucket = self._buckets[key.kind].get(key)
        if bucket is not None and now - bucket.last >= self.rules.kept(key.kind):
            self.clear(key)
            return None
        return bucket

    def _evict(self, buckets: OrderedDict[BucketKey, _Bucket], now: float) -> None:
        """The front of a buckets has been without events for the longest time."""
        while buckets:
            key, bucket = next(iter(buckets.items()))
            if len(buckets) < self._capacity and now - bucket.last < self.rules.kept(key.kind):
                return
            self.clear(key)


def _account_of(pair: BucketKey) -> tuple[str, str]:
    """Counter and account of a pair's bucket."""
    return pair.counter, pair.who.partition(".")[0]
