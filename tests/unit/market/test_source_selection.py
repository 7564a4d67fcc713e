"""Which source a symbol's price comes from: preference, age, grace, currency, no flapping."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.offers import Offering
from ticker.market.quote import Quote
from ticker.market.source_selection import (
    NEVER_PRICED,
    SILENT,
    SelectionRules,
    SourceSelection,
    StaleSymbol,
)

AGE = 10_000
GRACE = 2_000
RECOVER = 30_000
#: So long after the start no source can claim that it was there from the beginning.
LATER = AGE + 1
WALL = 1_790_000_000_000

RULES = SelectionRules(age_limit_ms=AGE, grace_ms=GRACE, recover_ms=RECOVER)
BOTH = ["BTC-USD", "ETH-USD"]


def select(
    *offerings: Offering,
    strategy: Literal["first", "median"] = "first",
    fallback_quotes: Literal["same", "stable"] = "same",
) -> SourceSelection:
    rules = attrs.evolve(RULES, strategy=strategy, fallback_quotes=fallback_quotes)
    return SourceSelection(offerings, rules)


def offer(
    selection: SourceSelection,
    source: str,
    now: int,
    price: str = "1",
    *,
    symbol: str = "BTC-USD",
    age: int = 0,
) -> list[tuple[str, str]]:
    """Offer one quote; return what goes to the book, as sources and prices."""
    quote = Quote(symbol, Decimal(price), WALL + now, WALL + now - age, source)
    chosen, unknown = selection.take(source, [quote], now_ms=now, wall_ms=WALL + now)
    assert unknown == 0
    return [(each.source, str(each.price)) for each in chosen]


@pytest.fixture
def selection() -> SourceSelection:
    return select(Offering("coinbase", BOTH), Offering("kraken", BOTH))


def holder(selection: SourceSelection, symbol: str = "BTC-USD") -> str:
    return selection.statistics().holders[symbol]


def test_the_preferred_source_keeps_a_symbol_while_it_is_fresh(selection: SourceSelection) -> None:
    assert offer(selection, "coinbase", 0)
    assert not offer(selection, "kraken", AGE)
    assert offer(selection, "coinbase", AGE)
    assert not offer(selection, "kraken", 2 * AGE)
    assert selection.statistics().turned_away == {"coinbase": 0, "kraken": 2}


def test_a_source_that_is_there_within_the_age_limit_of_the_start_was_never_away(
    selection: SourceSelection,
) -> None:
    assert offer(selection, "kraken", 0) == [("kraken", "1")]
    assert offer(selection, "coinbase", AGE, "2") == [("coinbase", "2")]


def test_a_source_that_comes_later_must_first_be_fresh_for_the_recovery_time(
    selection: SourceSelection,
) -> None:
    for now in range(0, LATER + RECOVER, 1000):
        assert offer(selection, "kraken", now)
        assert now < LATER or not offer(selection, "coinbase", now)
    assert offer(selection, "coinbase", LATER + RECOVER + 1000)
    assert holder(selection) == "coinbase"


def test_the_next_source_takes_over_a_symbol_that_has_gone_stale(
    selection: SourceSelection,
) -> None:
    offer(selection, "coinbase", 0)
    assert offer(selection, "kraken", AGE + 1)
    assert holder(selection) == "kraken"


def test_a_symbol_is_given_back_only_after_the_first_source_has_recovered(
    selection: SourceSelection,
) -> None:
    offer(selection, "coinbase", 0)
    back = AGE + 1
    assert offer(selection, "kraken", back)
    for now in range(back, back + RECOVER, 1000):
        assert not offer(selection, "coinbase", now)
        assert offer(selection, "kraken", now)
    assert offer(selection, "coinbase", back + RECOVER)
    assert not offer(selection, "kraken", back + RECOVER)
    assert selection.statistics().changes == 2


def test_each_symbol_goes_its_own_way(selection: SourceSelection) -> None:
    for symbol in BOTH:
        offer(selection, "coinbase", 0, symbol=symbol)
    offer(selection, "coinbase", AGE, symbol="ETH-USD")
    for symbol in BOTH:
        offer(selection, "kraken", AGE + 1, symbol=symbol)
    assert selection.statistics().holders == {"BTC-USD": "kraken", "ETH-USD": "coinbase"}


@pytest.mark.parametrize("blip", [1, 1000, GRACE])
def test_a_blip_moves_no_price_to_another_source(selection: SourceSelection, blip: int) -> None:
    offer(selection, "coinbase", LATER)
    offer(selection, "kraken", LATER)
    selection.lose("coinbase", LATER)
    assert not offer(selection, "kraken", LATER + blip)
    assert selection.look(LATER + blip) == []
    assert selection.stale(LATER + blip) == ()
    assert offer(selection, "coinbase", LATER + blip, "2") == [("coinbase", "2")]
    assert not offer(selection, "kraken", LATER + AGE)
    assert selection.statistics().changes == 0


def test_beyond_the_grace_the_next_source_takes_over_even_if_it_has_nothing_new(
    selection: SourceSelection,
) -> None:
    offer(selection, "coinbase", LATER)
    offer(selection, "kraken", LATER, "7")
    selection.lose("coinbase", LATER)
    [quote] = selection.look(LATER + GRACE + 1)
    assert (quote.source, str(quote.price)) == ("kraken", "7")
    assert selection.look(LATER + GRACE + 2) == []
    assert not offer(selection, "coinbase", LATER + GRACE + 3)


def test_what_a_source_has_against_a_symbol_hands_that_symbol_over_at_once(
    selection: SourceSelection,
) -> None:
    for source in ("coinbase", "kraken"):
        for symbol in BOTH:
            offer(selection, source, LATER, symbol=symbol)
    selection.report("coinbase", "BTC-USD", "halted")
    assert [(q.symbol, q.source) for q in selection.look(LATER)] == [("BTC-USD", "kraken")]
    assert not offer(selection, "coinbase", LATER + 1)  # its quotes do not count meanwhile
    selection.report("coinbase", "BTC-USD", None)
    for now in range(LATER + 2, LATER + RECOVER, 1000):
        assert offer(selection, "kraken", now)
        assert not offer(selection, "coinbase", now)
    assert offer(selection, "coinbase", LATER + 2 + RECOVER)


def test_a_price_that_is_only_known_to_have_been_right_earlier_is_no_younger_for_coming_now(
    selection: SourceSelection,
) -> None:
    assert not offer(selection, "coinbase", 0, age=AGE + 1)
    assert not selection.priced("coinbase")
    assert offer(selection, "coinbase", 0, age=AGE)
    assert selection.priced("coinbase")
    assert selection.stale(1) == (StaleSymbol("BTC-USD", "coinbase", SILENT, WALL - AGE),)


def test_a_symbol_is_stale_once_no_source_has_a_fresh_price(selection: SourceSelection) -> None:
    assert selection.stale(0) == ()
    for symbol in BOTH:
        offer(selection, "coinbase", 0, symbol=symbol)
    assert selection.stale(AGE) == ()
    assert selection.stale(AGE + 1) == (
        StaleSymbol("BTC-USD", "coinbase", SILENT, WALL),
        StaleSymbol("ETH-USD", "coinbase", SILENT, WALL),
    )
    offer(selection, "kraken", AGE + 2)
    assert {stale.symbol for stale in selection.stale(AGE + 2)} == {"ETH-USD"}
    assert selection.any_fresh(AGE + 2)


def test_a_symbol_that_never_had_a_price_is_stale_once_its_source_is_there_for_long(
    selection: SourceSelection,
) -> None:
    offer(selection, "coinbase", 0)
    offer(selection, "coinbase", AGE + 1)
    assert StaleSymbol("ETH-USD", "coinbase", NEVER_PRICED, None) in selection.stale(AGE + 1)
    assert "ETH-USD" not in {stale.symbol for stale in selection.stale(AGE)}


def test_a_symbol_that_only_one_source_has_is_served_and_not_stale(
    selection: SourceSelection,
) -> None:
    selection.report("coinbase", "BTC-USD", "not listed")
    offer(selection, "kraken", 0)
    assert selection.stale(0) == ()
    assert selection.refused_everywhere() == {}
    selection.report("kraken", "BTC-USD", "unknown asset pair")
    assert selection.refused_everywhere() == {
        "BTC-USD": {"coinbase": "not listed", "kraken": "unknown asset pair"}
    }
    assert [(stale.source, stale.reason) for stale in selection.stale(0)] == [
        ("coinbase", "not listed"),
        ("kraken", "unknown asset pair"),
    ]


def test_what_a_source_quotes_beyond_its_symbols_is_counted(selection: SourceSelection) -> None:
    quote = Quote("DOGE-USD", Decimal(1), 0, 0, "coinbase")
    assert selection.take("coinbase", [quote] * 3, now_ms=0, wall_ms=0) == ([], 3)


def test_a_quote_is_shown_under_the_name_of_the_source_that_brought_it() -> None:
    selection = select(Offering("tide", ["BTC-USD"]))
    quote = Quote("BTC-USD", Decimal(1), 0, 0, "another")
    [chosen], _ = selection.take("tide", [quote], now_ms=0, wall_ms=0)
    assert chosen.source == "tide"


USDT = Offering("binance", ["BTC-USD"], {"BTC-USD": "BTC-USDT"})


@pytest.mark.parametrize("strategy", ["first", "median"])
def test_a_price_in_dollars_does_not_fall_over_to_one_in_tether(
    strategy: Literal["first", "median"],
) -> None:
    selection = select(USDT, Offering("coinbase", ["BTC-USD"]), strategy=strategy)
    assert not offer(selection, "binance", 0, "97.10")
    assert offer(selection, "coinbase", 0, "100.00") == [("coinbase", "100.00")]
    assert not offer(selection, "binance", AGE + 1, "97.10")
    assert selection.look(AGE + 1) == []
    assert [stale.source for stale in selection.stale(AGE + 1)] == ["coinbase"]


@pytest.mark.parametrize("strategy", ["first", "median"])
def test_where_it_is_allowed_the_other_currency_only_stands_in_and_the_source_says_so(
    strategy: Literal["first", "median"],
) -> None:
    selection = select(
        USDT, Offering("coinbase", ["BTC-USD"]), strategy=strategy, fallback_quotes="stable"
    )
    assert offer(selection, "coinbase", 0, "100.00") == [("coinbase", "100.00")]
    assert not offer(selection, "binance", 1, "97.10")
    assert offer(selection, "binance", AGE + 1, "97.20") == [("binance:BTC-USDT", "97.20")]


def test_a_source_of_another_currency_serves_alone_and_says_so() -> None:
    assert offer(select(USDT), "binance", 0) == [("binance:BTC-USDT", "1")]


def test_two_sources_of_the_same_other_currency_stand_in_for_each_other() -> None:
    okx = Offering("okx", ["BTC-USD"], {"BTC-USD": "BTC-USDT"})
    usdc = Offering("other", ["BTC-USD"], {"BTC-USD": "BTC-USDC"})
    selection = select(USDT, usdc, okx)
    assert offer(selection, "binance", 0)
    assert not offer(selection, "other", AGE + 1)
    assert offer(selection, "okx", AGE + 1) == [("okx:BTC-USDT", "1")]


SOURCES = ["a", "b", "c"]
offers = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.sampled_from(BOTH), st.integers(0, 15_000)),
    max_size=200,
)


@given(offers)
def test_no_symbol_changes_hands_without_a_reason_or_often(
    offered: list[tuple[str, str, int]],
) -> None:
    selection = select(*(Offering(name, BOTH) for name in SOURCES))
    now = LATER
    offer(selection, "c", 0)  # the start is over
    last: dict[tuple[str, str], int] = {}
    since: dict[tuple[str, str], int] = {}
    holding: dict[str, str] = {"BTC-USD": "c"}
    last["c", "BTC-USD"] = 0
    for source, symbol, pause in offered:
        now += pause
        if now - last.get((source, symbol), -AGE - 1) > AGE:
            since[source, symbol] = now
        chosen = offer(selection, source, now, symbol=symbol)
        before, after = holding.get(symbol), holder(selection, symbol)
        if before is not None and before != after:
            was_silent = now - last[before, symbol] > AGE
            recovered = after < before and now - since[after, symbol] >= RECOVER
            assert was_silent or recovered
        assert bool(chosen) == (after == source or before != after)
        last[source, symbol] = now
        holding[symbol] = after


@given(st.lists(st.integers(1, AGE), min_size=1, max_size=100))
def test_a_flickering_source_never_gets_a_symbol_from_a_steady_one(pauses: list[int]) -> None:
    selection = select(Offering("flickering", BOTH), Offering("steady", BOTH))
    now = 0
    offer(selection, "steady", now)
    for pause in pauses:
        for step in range(0, AGE + 1 + pause, 1000):
            offer(selection, "steady", now + step)
        now += AGE + 1 + pause
        assert not offer(selection, "flickering", now)
        assert offer(selection, "steady", now)
    assert selection.statistics().changes == 0
