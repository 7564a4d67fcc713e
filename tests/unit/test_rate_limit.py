"""How often something may happen: bursts, pace, and a table that stays bounded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.rate_limit import Bucket, Budget, KeyedLimiter, Rate

STEPS = st.lists(st.floats(0, 30, allow_nan=False), max_size=60)


def admitted_at(limit: Rate, steps: Sequence[float]) -> list[float]:
    now, due, times = 1000.0, 0.0, []
    for step in steps:
        now += step
        due, wait = limit.admit(due, now)
        if wait == 0.0:
            times.append(now)
    return times


def test_a_burst_of_the_whole_count_passes_and_the_next_must_wait_for_one_share() -> None:
    limit = Rate(30, 60.0)
    due = 0.0
    for _ in range(30):
        due, wait = limit.admit(due, 1000.0)
        assert wait == 0.0
    due, wait = limit.admit(due, 1000.0)
    assert wait == pytest.approx(2.0)
    assert limit.admit(due, 1001.9)[1] > 0
    due, wait = limit.admit(due, 1002.0)
    assert wait == 0.0
    assert limit.admit(due, 1002.0)[1] == pytest.approx(2.0)


@given(st.integers(1, 20), st.floats(0.1, 60), STEPS)
def test_no_window_holds_more_than_the_burst_and_its_share(
    count: int, seconds: float, steps: list[float]
) -> None:
    times = admitted_at(Rate(count, seconds), steps)
    for first in range(len(times)):
        for last in range(first, len(times)):
            most = count + (times[last] - times[first]) * count / seconds
            assert last - first + 1 <= most + 1e-6


@given(st.integers(1, 20), st.floats(0.1, 60), STEPS)
def test_the_wait_it_tells_is_long_enough(count: int, seconds: float, steps: list[float]) -> None:
    limit, now, due = Rate(count, seconds), 1000.0, 0.0
    for step in steps:
        now += step
        due, wait = limit.admit(due, now)
        if wait:
            assert limit.admit(due, now + wait)[1] == 0.0


@given(st.integers(1, 20), st.floats(0.1, 60))
def test_a_client_that_keeps_to_the_pace_is_never_refused(count: int, seconds: float) -> None:
    steps = [seconds / count * 1.000001] * 50
    assert len(admitted_at(Rate(count, seconds), steps)) == 50


def test_a_refused_event_costs_nothing() -> None:
    bucket = Bucket(Rate(2, 2.0))
    assert [bucket.admit(50.0) for _ in range(5)] == [True, True, False, False, False]
    assert [bucket.admit(51.0), bucket.admit(51.0)] == [True, False]


def test_a_count_of_zero_lifts_the_limit() -> None:
    bucket = Bucket(Rate(0, 60.0))
    assert all(bucket.admit(1.0) for _ in range(1000))


def test_subjects_are_counted_apart_and_asking_counts_nothing() -> None:
    limiter = KeyedLimiter(Rate(1, 10.0), capacity=10)
    assert limiter.wait("a", 100.0) == 0.0
    assert limiter.wait("a", 100.0) == 0.0
    assert len(limiter) == 0
    assert limiter.admit("a", 100.0) == 0.0
    assert limiter.wait("a", 100.0) == pytest.approx(10.0)
    assert limiter.admit("a", 104.0) == pytest.approx(6.0)
    assert limiter.admit("b", 104.0) == 0.0
    assert limiter.admit("a", 110.0) == 0.0


def test_a_full_table_forgets_whom_it_has_not_heard_of_for_longest() -> None:
    limiter = KeyedLimiter(Rate(1, 1000.0), capacity=2)
    for name in ("a", "b", "a", "c"):
        limiter.admit(name, 1.0)
    assert len(limiter) == 2
    assert limiter.wait("a", 1.0) > 0
    assert limiter.wait("c", 1.0) > 0
    assert limiter.wait("b", 1.0) == 0.0


def test_a_budget_lets_a_burst_go_and_then_makes_each_wait_for_what_it_costs() -> None:
    budget = Budget(rate=100, burst=200)
    assert [budget.spend(100, 1000.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]
    # Two seconds later the debt is paid, and nothing is saved up yet.
    assert budget.spend(50, 1002.0) == 0.5


def test_a_budget_saves_up_no_more_than_its_burst() -> None:
    budget = Budget(rate=100, burst=200)
    assert budget.spend(300, 1_000_000.0) == 1.0
