"""Bars of ours and an exchange's together: `from` and `to` choose among them and change none."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticker.market.candles import HOUR, MINUTE, STEPS, Candles, ShownBar, Step

BASE = 497_000 * HOUR.ms
NOW = BASE + 3 * HOUR.ms
ONE = Decimal(1)


def shown(
    candles: Candles,
    step: Step,
    begin: int | None = None,
    end: int | None = None,
    limit: int | None = None,
) -> list[ShownBar]:
    return list(candles.bars(step, now_ms=NOW, begin=begin, end=end, limit=limit))


def minute(number: int) -> tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Return a minute of an exchange, by its place after `BASE`."""
    high = Decimal(100 + number)
    return BASE + number * MINUTE.ms, Decimal(10), high, Decimal(5), Decimal(20), ONE


def both() -> Candles:
    """Return an hour of which the first minute is ours, and ten later ones are the exchange's."""
    candles = Candles()
    candles.fill(MINUTE, map(minute, range(30, 40)))
    candles.add(BASE + 1_000, Decimal(50), ONE)
    candles.add(BASE + HOUR.ms + 1_000, Decimal(51), ONE)
    return candles


@pytest.mark.parametrize("minutes", [0.001, 1, 20, 33, 60])
def test_an_hour_of_both_is_the_same_whenever_the_span_ends_that_is_asked_for(
    minutes: float,
) -> None:
    candles = both()
    first, _ = shown(candles, HOUR)
    assert first == ShownBar(BASE, ("50", "139", "5", "20"), "11", theirs=True)
    end = BASE + int(minutes * MINUTE.ms)
    assert shown(candles, HOUR, end=end) == [first]
    columns = [tuple(column) for column in candles.columns(HOUR, BASE, end)]
    assert columns == [(BASE // HOUR.ms,), (50,), (139,), (5,), (20,), (11,)]


def test_an_hour_of_an_exchanges_minutes_alone_is_there_whatever_is_asked_for() -> None:
    candles = Candles()
    candles.fill(MINUTE, map(minute, range(30, 40)))
    hours = [ShownBar(BASE, ("10", "139", "5", "20"), "10", theirs=True)]
    assert shown(candles, HOUR) == shown(candles, HOUR, end=NOW) == hours
    assert shown(candles, HOUR, end=BASE + 1) == hours
    assert shown(candles, HOUR, begin=BASE + 1) == []


moments = st.integers(BASE - HOUR.ms, NOW)


@settings(deadline=None)
@given(
    ours=st.lists(moments, max_size=30),
    theirs=st.sets(st.integers(-60, 180), max_size=30),
    hours=st.sets(st.integers(-1, 3), max_size=3),
    step=st.sampled_from(list(STEPS.values())),
    begin=st.none() | moments,
    end=st.none() | moments,
    limit=st.none() | st.integers(1, 50),
)
def test_what_is_asked_for_is_a_slice_of_all_that_is_shown(
    ours: list[int],
    theirs: set[int],
    hours: set[int],
    step: Step,
    begin: int | None,
    end: int | None,
    limit: int | None,
) -> None:
    candles = Candles()
    for number, moment in enumerate(ours):
        candles.add(moment, Decimal(number + 1), ONE)
    candles.fill(MINUTE, map(minute, sorted(theirs)))
    candles.fill(HOUR, ((BASE + n * HOUR.ms, ONE, ONE, ONE, ONE, None) for n in hours))
    whole = shown(candles, step)
    assert all(one.begin < other.begin for one, other in pairwise(whole))
    first = BASE - 24 * HOUR.ms if begin is None else begin
    last = NOW + 24 * HOUR.ms if end is None else end
    expected = [bar for bar in whole if first <= bar.begin < last]
    assert shown(candles, step, begin, end) == expected
    if limit is not None:
        assert shown(candles, step, begin, end, limit) == expected[-limit:]
    columns = candles.columns(step, max(first, step.oldest(NOW)), last)
    assert [number * step.ms for number in columns[0]] == [bar.begin for bar in expected]
    for place, column in enumerate(columns[1:5]):
        assert list(map(candles.price, column)) == [Decimal(bar.prices[place]) for bar in expected]
