"""The rules of the throttles: free events, waits that double, and what is given back as if it had never been."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.effort import counted
from voyagent.actors.domain import throttles
from voyagent.actors.domain.throttles import BucketKey, Charge, Operation, Rules, Saved, Throttles

KEY = BucketKey("pair", "sign_in", "a.n")
FREE = 5
NOON = 1_800_000_000.0
TABLE = {
    throttles.SIGN_IN: (5, 20, 50, None),
    throttles.SIGN_IN_TOTP: (5, 20, 50, None),
    throttles.TOTP_VERIFY: (5, 20, 50, None),
    throttles.TOTP_DISABLE: (5, 20, 50, None),
    throttles.CHANGE_PASSWORD: (5, 20, 50, None),
    throttles.REFRESH: (None, None, 50, None),
    throttles.RESET_PASSWORD: (None, None, 20, None),
    throttles.VERIFY_EMAIL: (None, None, 20, None),
    throttles.REQUEST_RESET: (5, None, 30, None),
    throttles.SEND_VERIFICATION: (5, None, 30, None),
    throttles.LOOK_UP_INVITE: (None, None, 30, None),
    throttles.ACCEPT_INVITE: (None, None, 30, None),
    throttles.SIGN_UP: (None, None, 20, None),
    throttles.CREATE_INVITE: (None, None, None, 200),
}
KINDS: tuple[throttles.Kind, ...] = ("pair", "account", "network", "tenant")


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
def test_r8_each_operation_has_the_free_events_of_the_contract(operation: Operation) -> None:
    assert tuple(Rules().free(operation, kind) for kind in KINDS) == TABLE[operation]


def test_r9_the_figures_are_configurable_and_a_network_figure_replaces_every_one() -> None:
    rules = Rules(pair=7, account=9, network=11, max_delay=60, window=600)
    assert [rules.free(throttles.SIGN_IN, kind) for kind in KINDS] == [7, 9, 11, None]
    assert rules.free(throttles.SIGN_UP, "network") == 11
    assert rules.free(throttles.CREATE_INVITE, "tenant") == 200
    assert Rules(networks=False, network=11).free(throttles.SIGN_UP, "network") is None
    assert [rules.delay(beyond) for beyond in (0, 1, 2, 5, 6, 10_000)] == [0, 2, 4, 32, 60, 60]


def test_a_wait_never_outlives_what_it_is_counted_from() -> None:
    assert Rules(max_delay=900, window=60).delay(100) == 60


def test_sign_in_with_and_without_code_share_one_counter_and_no_other_does() -> None:
    counters = [operation.counter for operation in TABLE]
    assert throttles.SIGN_IN.counter == throttles.SIGN_IN_TOTP.counter
    assert len(set(counters)) == len(counters) - 1


def fill(table: Throttles, events: int, now: float = NOON) -> list[Charge]:
    return [table.charge(KEY, now) for _ in range(events)]


def test_the_free_events_bring_no_wait_and_each_one_beyond_doubles_it() -> None:
    table, now = Throttles(Rules()), NOON
    fill(table, FREE, now)
    waits = []
    for _ in range(11):
        assert table.wait(KEY, FREE, now) == 0
        table.charge(KEY, now)
        waits.append(table.wait(KEY, FREE, now))
        now += waits[-1]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_an_hour_without_events_clears_a_bucket_and_less_does_not() -> None:
    table = Throttles(Rules())
    fill(table, 9)
    assert table.saved(KEY) == Saved(9, NOON)
    table.charge(KEY, NOON + 3599)
    assert table.saved(KEY) == Saved(10, NOON + 3599)
    table.charge(KEY, NOON + 3599 + 3600)
    assert table.saved(KEY) == Saved(1, NOON + 3599 + 3600)


def test_an_agencys_bucket_lasts_its_day() -> None:
    table, key = Throttles(Rules()), BucketKey("tenant", "create_invite", "t.20261123")
    table.charge(key, NOON)
    table.charge(key, NOON + 80_000)
    assert table.saved(key) == Saved(2, NOON + 80_000)


def test_what_is_given_back_after_a_clearing_is_not_taken_from_what_came_since() -> None:
    table = Throttles(Rules())
    (old,) = fill(table, 1)
    table.clear(KEY)
    fill(table, 3)
    table.refund(old)
    assert table.saved(KEY) == Saved(3, NOON)


def test_giving_back_leaves_later_events_their_time() -> None:
    table = Throttles(Rules())
    first, second = table.charge(KEY, NOON), table.charge(KEY, NOON + 1)
    table.refund(first)
    assert table.saved(KEY) == Saved(1, NOON + 1)
    table.refund(second)
    assert len(table) == 0


def test_only_the_first_refusal_of_each_wait_is_one() -> None:
    table = Throttles(Rules())
    fill(table, 6)
    assert [table.first_refusal(KEY) for _ in range(3)] == [True, False, False]
    table.charge(KEY, NOON + 2)
    assert [table.first_refusal(KEY) for _ in range(2)] == [True, False]


def test_a_clock_put_back_makes_no_wait_longer() -> None:
    table = Throttles(Rules())
    fill(table, 6)
    assert table.wait(KEY, FREE, NOON - 86_400) == 2


def test_memory_is_bounded_and_the_longest_quiet_go_first() -> None:
    table = Throttles(Rules(), capacity=100)
    account = BucketKey("account", "sign_in", "a")
    table.charge(account, NOON)
    for number in range(1_000):
        table.charge(BucketKey("pair", "sign_in", f"a.{number}"), NOON + number / 1000)
        table.charge(BucketKey("pair", "sign_in", "a.busy"), NOON + number / 1000)
    assert len(table) == 101
    assert table.saved(BucketKey("pair", "sign_in", "a.busy")) == Saved(1_000, NOON + 0.999)
    assert table.saved(BucketKey("pair", "sign_in", "a.0")) is None
    assert table.saved(account) == Saved(1, NOON)


def test_expired_buckets_are_evicted_by_themselves() -> None:
    table = Throttles(Rules())
    for number in range(50):
        table.charge(BucketKey("network", "refresh", str(number)), NOON)
    table.charge(BucketKey("network", "refresh", "new"), NOON + 3600)
    assert len(table) == 1


def test_an_account_is_cleared_in_all_networks_and_nobody_else_is() -> None:
    table = Throttles(Rules())
    keys = [
        BucketKey("pair", "sign_in", "a.1"),
        BucketKey("pair", "sign_in", "a.2"),
        BucketKey("account", "sign_in", "a"),
    ]
    others = [
        BucketKey("pair", "sign_in", "b.1"),
        BucketKey("network", "sign_in", "1"),
        BucketKey("pair", "totp_verify", "a.1"),
    ]
    for key in (*keys, *others):
        table.charge(key, NOON)
    assert set(table.clear_account("sign_in", "a")) == set(keys)
    assert set(table.keys()) == set(others)


@pytest.mark.parametrize(
    ("saved", "taken"),
    [
        (Saved(7, NOON - 10), Saved(7, NOON - 10)),
        (Saved(7, NOON + 99), Saved(7, NOON)),
        (Saved(7, NOON - 3600), None),
        (Saved(7, float("nan")), None),
        (Saved(0, NOON), None),
    ],
)
def test_what_another_process_left_is_taken_up_while_it_counts(saved: Saved, taken: Saved | None) -> None:
    table = Throttles(Rules())
    table.restore(KEY, saved, NOON)
    assert table.saved(KEY) == taken


def test_what_is_known_here_is_not_taken_from_there() -> None:
    table = Throttles(Rules())
    fill(table, 7)
    table.restore(KEY, Saved(2, NOON), NOON)
    assert table.saved(KEY) == Saved(7, NOON)


def test_no_more_is_taken_up_than_there_is_room_for() -> None:
    table = Throttles(Rules(), capacity=10)
    for number in range(20):
        table.restore(BucketKey("pair", "sign_in", str(number)), Saved(1, NOON), NOON)
    assert len(table) == 10


steps = st.lists(
    st.one_of(
        st.tuples(st.just("try"), st.booleans()),
        st.tuples(st.just("pass"), st.floats(0, 1000, allow_nan=False)),
    ),
    max_size=60,
)


@given(steps, st.integers(5, 9), st.sampled_from([3.0, 60.0, 900.0]))
def test_r9_right_attempts_leave_no_trace_and_no_wrong_one_is_judged_in_a_wait(
    walk: list[tuple[str, float]], free: int, max_delay: float
) -> None:
    """Against the plain rule: the wrong ones since the last hour of silence, and the time of the last of them."""
    table, now = Throttles(Rules(max_delay=max_delay)), NOON
    wrong, last = 0, NOON
    for what, value in walk:
        if what == "pass":
            now += value
            continue
        if now - last >= 3600:
            wrong = 0
        beyond = wrong - free
        wait = max(0.0, last + min(2.0**beyond, max_delay) - now) if beyond > 0 else 0.0
        assert table.wait(KEY, free, now) == pytest.approx(wait, abs=1e-6)
        if wait > 1e-6:
            continue
        before = table.saved(KEY)
        charge = table.charge(KEY, now)
        if value:
            table.refund(charge)
            assert table.saved(KEY) == (before if wrong else None)
        else:
            wrong, last = wrong + 1, now


@given(st.integers(1, 200), st.data())
def test_r9_of_many_at_once_no_more_are_judged_than_are_free_and_one(crowd: int, data: st.DataObject) -> None:
    """However they end, and in whatever order their answers come."""
    table = Throttles(Rules())
    judged = [table.charge(KEY, NOON) for _ in range(crowd) if table.wait(KEY, FREE, NOON) == 0]
    assert len(judged) == min(crowd, FREE + 1)
    right = [charge for charge in data.draw(st.permutations(judged)) if data.draw(st.booleans())]
    for charge in right:
        table.refund(charge)
    saved = table.saved(KEY)
    assert (0 if saved is None else saved.events) == len(judged) - len(right)


@given(st.lists(st.tuples(st.sampled_from("cfra"), st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_an_account_is_cleared_whole_whatever_came_and_went_before(steps: list[tuple[str, int, int]]) -> None:
    table, charges = Throttles(Rules(), capacity=6), [Charge(KEY, 0, 0, (0, 0.0))]
    now = NOON
    for act, account, network in steps:
        key = BucketKey("pair", "sign_in", f"{account}.{network}")
        now += 1
        match act:
            case "c":
                charges.append(table.charge(key, now))
            case "f":
                table.clear(key)
            case "r":
                table.refund(charges.pop() if len(charges) > 1 else charges[0])
            case _:
                table.restore(key, Saved(3, now), now)
    before = set(table.keys())

    cleared = {key for account in range(6) for key in table.clear_account("sign_in", str(account))}

    assert cleared == before
    assert not len(table)


def test_clearing_an_account_takes_no_longer_in_a_full_table() -> None:
    spent = []
    for accounts in (1, throttles.CAPACITY // 4):
        table = Throttles(Rules())
        for number in range(accounts):
            table.charge(BucketKey("pair", "sign_in", f"{number}.n"), NOON)
            table.charge(BucketKey("account", "sign_in", f"{number}"), NOON)
        with counted() as effort:
            assert len(table.clear_account("sign_in", "0")) == 2
        spent.append(effort.lines)

    assert spent[0] == spent[1] > 0
