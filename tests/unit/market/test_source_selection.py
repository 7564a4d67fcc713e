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
def selection() -> SourceSelection:
    return SourceSelection(["coinbase", "kraken"], AGE, RECOVER)


def holder(selection: SourceSelection, symbol: str = "BTC-USD") -> str:
    return selection.statistics().holders[symbol]


def test_the_preferred_source_keeps_a_symbol_while_it_is_fresh(selection: SourceSelection) -> None:
    assert selection.offer(quote("coinbase"), 0)
    assert not selection.offer(quote("kraken"), AGE)
    assert selection.offer(quote("coinbase"), AGE)
    assert not selection.offer(quote("kraken"), 2 * AGE)
    assert selection.statistics().turned_away == {"coinbase": 0, "kraken": 2}


def test_the_next_source_takes_over_a_symbol_that_has_gone_stale(
    selection: SourceSelection,
) -> None:
    selection.offer(quote("coinbase"), 0)
    assert selection.offer(quote("kraken"), AGE + 1)
    assert holder(selection) == "kraken"


def test_a_symbol_is_given_back_only_after_the_first_source_has_recovered(
    selection: SourceSelection,
) -> None:
    selection.offer(quote("coinbase"), 0)
    back = AGE + 1
    assert selection.offer(quote("kraken"), back)
    assert not selection.offer(quote("coinbase"), back)
    assert not selection.offer(quote("coinbase"), back + RECOVER - 1)
    assert selection.offer(quote("kraken"), back + RECOVER - 1)
    assert selection.offer(quote("coinbase"), back + RECOVER)
    assert not selection.offer(quote("kraken"), back + RECOVER)
    assert selection.statistics().changes == 2


def test_a_break_begins_the_recovery_anew(selection: SourceSelection) -> None:
    selection.offer(quote("coinbase"), 0)
    now = AGE + 1
    selection.offer(quote("kraken"), now)
    selection.offer(quote("coinbase"), now)
    for later in range(now, now + 2 * AGE, 1000):
        selection.offer(quote("kraken"), later)
    assert not selection.offer(quote("coinbase"), now + 2 * AGE)
    assert selection.offer(quote("coinbase"), now + 2 * AGE + RECOVER)


def test_each_symbol_goes_its_own_way(selection: SourceSelection) -> None:
    for symbol in ("BTC-USD", "ETH-USD"):
        selection.offer(quote("coinbase", symbol), 0)
    selection.offer(quote("coinbase", "ETH-USD"), AGE)
    for symbol in ("BTC-USD", "ETH-USD"):
        selection.offer(quote("kraken", symbol), AGE + 1)
    assert selection.statistics().holders == {"BTC-USD": "kraken", "ETH-USD": "coinbase"}


def test_what_a_stopped_source_held_goes_to_the_next_at_once(selection: SourceSelection) -> None:
    selection.offer(quote("coinbase"), 0)
    selection.lose("coinbase")
    assert selection.offer(quote("kraken"), 1)
    assert not selection.offer(quote("coinbase"), 2)


def test_a_symbol_is_stale_once_its_source_is_silent_for_too_long(
    selection: SourceSelection,
) -> None:
    assert selection.stale(0) == ()
    selection.offer(quote("coinbase"), 0)
    assert selection.stale(AGE) == ()
    assert selection.stale(AGE + 1) == (StaleSymbol("BTC-USD", "coinbase"),)
    selection.offer(quote("kraken"), AGE + 2)
    assert selection.stale(AGE + 2) == ()
    selection.lose("kraken")
    assert selection.stale(AGE + 2) == (StaleSymbol("BTC-USD", "kraken"),)


def test_a_source_that_is_not_in_the_order_is_a_mistake(selection: SourceSelection) -> None:
    with pytest.raises(KeyError):
        selection.offer(quote("binance"), 0)


SOURCES = ["a", "b", "c"]
offers = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(["X-Y", "Z-Y"]), st.integers(0, 15_000)),
    max_size=200,
)


@given(offers)
def test_no_symbol_changes_hands_without_a_reason_or_often(
    offered: list[tuple[str, str, int]],
) -> None:
    selection = SourceSelection(SOURCES, AGE, RECOVER)
    now = 0
    last: dict[tuple[str, str], int] = {}
    since: dict[tuple[str, str], int] = {}
    holding: dict[str, str] = {}
    for source, symbol, pause in offered:
        now += pause
        if now - last.get((source, symbol), -AGE - 1) > AGE:
            since[source, symbol] = now
        accepted = selection.offer(quote(source, symbol), now)
        before = holding.get(symbol)
        assert accepted == (selection.statistics().holders[symbol] == source)
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
        holding[symbol] = selection.statistics().holders[symbol]
    assert sum(selection.statistics().turned_away.values()) <= len(offered)


@given(st.lists(st.integers(1, AGE), min_size=1, max_size=100))
def test_a_flickering_source_never_gets_a_symbol_from_a_steady_one(pauses: list[int]) -> None:
    selection = SourceSelection(["flickering", "steady"], AGE, RECOVER)
    now = 0
    selection.offer(quote("steady"), now)
    for pause in pauses:
        for step in range(0, AGE + 1 + pause, 1000):
            selection.offer(quote("steady"), now + step)
        now += AGE + 1 + pause
        assert not selection.offer(quote("flickering"), now)
        assert selection.offer(quote("steady"), now)
    assert selection.statistics().changes == 0
