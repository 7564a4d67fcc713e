"""Which source a symbol's price comes from: preference, age, and no flapping."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.quote import Quote
from ticker.market.source_selection import SourceSelection, StaleSymbol

AGE = 10_000
RECOVER = 5_000


def quote(source: str, symbol: str = "BTC-USD") -> Quote:
    return Quote(symbol, Decimal(1), 0, 0, source)


@pytest.fixture
def arbiter() -> SourceSelection:
    return SourceSelection(["coinbase", "kraken"], AGE, RECOVER)


def holder(arbiter: SourceSelection, symbol: str = "BTC-USD") -> str:
    return arbiter.statistics().holders[symbol]


def test_the_preferred_source_keeps_a_symbol_while_it_is_fresh(arbiter: SourceSelection) -> None:
    assert arbiter.offer(quote("coinbase"), 0)
    assert not arbiter.offer(quote("kraken"), AGE)
    assert arbiter.offer(quote("coinbase"), AGE)
    assert not arbiter.offer(quote("kraken"), 2 * AGE)
    assert arbiter.statistics().turned_away == {"coinbase": 0, "kraken": 2}


def test_the_next_source_takes_over_a_symbol_that_has_gone_stale(arbiter: SourceSelection) -> None:
    arbiter.offer(quote("coinbase"), 0)
    assert arbiter.offer(quote("kraken"), AGE + 1)
    assert holder(arbiter) == "kraken"


def test_a_symbol_is_given_back_only_after_the_first_source_has_recovered(
    arbiter: SourceSelection,
) -> None:
    arbiter.offer(quote("coinbase"), 0)
    back = AGE + 1
    assert arbiter.offer(quote("kraken"), back)
    assert not arbiter.offer(quote("coinbase"), back)
    assert not arbiter.offer(quote("coinbase"), back + RECOVER - 1)
    assert arbiter.offer(quote("kraken"), back + RECOVER - 1)
    assert arbiter.offer(quote("coinbase"), back + RECOVER)
    assert not arbiter.offer(quote("kraken"), back + RECOVER)
    assert arbiter.statistics().changes == 2


def test_a_break_begins_the_recovery_anew(arbiter: SourceSelection) -> None:
    arbiter.offer(quote("coinbase"), 0)
    now = AGE + 1
    arbiter.offer(quote("kraken"), now)
    arbiter.offer(quote("coinbase"), now)
    for later in range(now, now + 2 * AGE, 1000):
        arbiter.offer(quote("kraken"), later)
    assert not arbiter.offer(quote("coinbase"), now + 2 * AGE)
    assert arbiter.offer(quote("coinbase"), now + 2 * AGE + RECOVER)


def test_each_symbol_goes_its_own_way(arbiter: SourceSelection) -> None:
    for symbol in ("BTC-USD", "ETH-USD"):
        arbiter.offer(quote("coinbase", symbol), 0)
    arbiter.offer(quote("coinbase", "ETH-USD"), AGE)
    for symbol in ("BTC-USD", "ETH-USD"):
        arbiter.offer(quote("kraken", symbol), AGE + 1)
    assert arbiter.statistics().holders == {"BTC-USD": "kraken", "ETH-USD": "coinbase"}


def test_what_a_stopped_source_held_goes_to_the_next_at_once(arbiter: SourceSelection) -> None:
    arbiter.offer(quote("coinbase"), 0)
    arbiter.lose("coinbase")
    assert arbiter.offer(quote("kraken"), 1)
    assert not arbiter.offer(quote("coinbase"), 2)


def test_a_symbol_is_stale_once_its_source_is_silent_for_too_long(arbiter: SourceSelection) -> None:
    assert arbiter.stale(0) == ()
    arbiter.offer(quote("coinbase"), 0)
    assert arbiter.stale(AGE) == ()
    assert arbiter.stale(AGE + 1) == (StaleSymbol("BTC-USD", "coinbase"),)
    arbiter.offer(quote("kraken"), AGE + 2)
    assert arbiter.stale(AGE + 2) == ()
    arbiter.lose("kraken")
    assert arbiter.stale(AGE + 2) == (StaleSymbol("BTC-USD", "kraken"),)


def test_a_source_that_is_not_in_the_order_is_a_mistake(arbiter: SourceSelection) -> None:
    with pytest.raises(KeyError):
        arbiter.offer(quote("binance"), 0)


SOURCES = ["a", "b", "c"]
offers = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(["X-Y", "Z-Y"]), st.integers(0, 15_000)),
    max_size=200,
)


@given(offers)
def test_no_symbol_changes_hands_without_a_reason_or_often(
    offered: list[tuple[str, str, int]],
) -> None:
    arbiter = SourceSelection(SOURCES, AGE, RECOVER)
    now = 0
    last: dict[tuple[str, str], int] = {}
    since: dict[tuple[str, str], int] = {}
    holding: dict[str, str] = {}
    for source, symbol, pause in offered:
        now += pause
        if now - last.get((source, symbol), -AGE - 1) > AGE:
            since[source, symbol] = now
        accepted = arbiter.offer(quote(source, symbol), now)
        before = holding.get(symbol)
        assert accepted == (arbiter.statistics().holders[symbol] == source)
        if before is None or before == source:
            assert accepted
        elif accepted:
            was_silent = now - last[before, symbol] > AGE
            recovered = source < before and now - since[source, symbol] >= RECOVER
            assert was_silent or recovered
            if not was_silent:
                # A live holder is only ever displaced upwards, so at most once per source.
                assert SOURCES.index(source) < SOURCES.index(before)
        last[source, symbol] = now
        holding[symbol] = arbiter.statistics().holders[symbol]
    assert sum(arbiter.statistics().turned_away.values()) <= len(offered)


@given(st.lists(st.integers(1, AGE), min_size=1, max_size=100))
def test_a_flickering_source_never_gets_a_symbol_from_a_steady_one(pauses: list[int]) -> None:
    arbiter = SourceSelection(["flickering", "steady"], AGE, RECOVER)
    now = 0
    arbiter.offer(quote("steady"), now)
    for pause in pauses:
        for step in range(0, AGE + 1 + pause, 1000):
            arbiter.offer(quote("steady"), now + step)
        now += AGE + 1 + pause
        assert not arbiter.offer(quote("flickering"), now)
        assert arbiter.offer(quote("steady"), now)
    assert arbiter.statistics().changes == 0
