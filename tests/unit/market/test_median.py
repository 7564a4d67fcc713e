"""A price of several: outliers, means, and how far it may move."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.details import details
from tests.unit.market.test_source_selection import AGE, GRACE, LATER, WALL, offer, select
from ticker.market.median import OUTLIER_PART, combine, combine_details
from ticker.market.offers import Offering
from ticker.market.quote import Details, Quote

price = st.decimals("0.00000001", "1000000000", allow_nan=False, places=8)


def test_one_gives_itself() -> None:
    assert combine([Decimal("0.10")]).price == Decimal("0.10")


@given(st.lists(price, min_size=2, max_size=2))
def test_two_give_their_mean_exactly(prices: list[Decimal]) -> None:
    combined = combine(prices)
    assert combined.price * 2 == sum(prices)
    assert combined.counted == (True, True)


@pytest.mark.parametrize(
    ("prices", "expected", "left_out"),
    [
        (["100", "101", "102"], "101", []),
        (["100", "100.2", "150"], "100.1", ["150"]),
        (["100", "100", "100.49"], "100", []),  # 3 times 0, and less than 0.5 %
        (["100", "100", "100.5"], "100", ["100.5"]),  # 3 times 0, and exactly 0.5 %
        (["100", "100", "100.51"], "100", ["100.51"]),
        (["100", "101", "103", "104", "200"], "102", ["200"]),
        (["50", "100", "100.1", "100.2", "150"], "100.1", ["50", "150"]),
    ],
)
def test_a_price_far_from_the_others_is_left_out(
    prices: list[str], expected: str, left_out: list[str]
) -> None:
    combined = combine([Decimal(each) for each in prices])
    assert combined.price == Decimal(expected)
    named = zip(prices, combined.counted, strict=True)
    assert [each for each, counts in named if not counts] == left_out


@given(price, st.decimals(0, 1, allow_nan=False, places=6), price, st.permutations([0, 1, 2]))
def test_one_liar_among_three_never_moves_the_price_beyond_the_honest_two(
    low: Decimal, apart: Decimal, lie: Decimal, order: list[int]
) -> None:
    high = low * (1 + apart * OUTLIER_PART * Decimal("0.99"))
    given_prices = [low, high, lie]
    combined = combine([given_prices[place] for place in order])
    assert low <= combined.price <= high


@given(st.lists(price, min_size=1, max_size=9), price)
def test_a_source_that_comes_or_goes_makes_no_jump_beyond_the_spread(
    prices: list[Decimal], another: Decimal
) -> None:
    without, included = combine(prices), combine([*prices, another])
    assert min(prices) <= without.price <= max(prices)
    spread = max(*prices, another) - min(*prices, another)
    assert abs(included.price - without.price) <= spread


@given(st.lists(price, min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_the_order_of_the_sources_does_not_matter(prices: list[Decimal], random: object) -> None:
    shuffled = sorted(prices, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert combine(shuffled).price == combine(prices).price
    assert sum(combine(prices).counted) >= (len(prices) + 1) // 2


# --- with sources ---------------------------------------------------------------------------

NAMES = ["a", "b", "c"]


def quote_of(prices: dict[str, str], now: int = 0) -> Quote:
    selection = select(*(Offering(name, ["BTC-USD"]) for name in NAMES), strategy="median")
    chosen: list[Quote] = []
    for name, each in prices.items():
        quote = Quote("BTC-USD", Decimal(each), WALL + now, WALL + now, name)
        chosen += selection.take(name, [quote], now_ms=now, wall_ms=WALL + now)[0]
    return chosen[-1]


def test_a_price_of_several_names_who_was_counted_and_who_was_left_out() -> None:
    quote = quote_of({"a": "100", "b": "150", "c": "100.2"})
    assert (str(quote.price), quote.source) == ("100.1", "median")
    assert (quote.counted, quote.left_out) == (("a", "c"), ("b",))


def test_a_price_of_one_is_that_sources_own() -> None:
    quote = quote_of({"b": "100.10"})
    assert (str(quote.price), quote.source) == ("100.10", "b")
    assert (quote.counted, quote.left_out) == (("b",), ())


def test_a_source_counts_until_it_is_no_longer_fresh() -> None:
    selection = select(*(Offering(name, ["BTC-USD"]) for name in NAMES), strategy="median")
    offer(selection, "a", LATER, "100")
    assert offer(selection, "b", LATER, "101") == [("median", "100.5")]
    assert offer(selection, "c", LATER, "101.5") == [("median", "101")]
    selection.lose("a", LATER)
    assert selection.look(LATER + GRACE) == []
    assert [q.price for q in selection.look(LATER + GRACE + 1)] == [Decimal("101.25")]
    assert offer(selection, "b", LATER + AGE, "101") != []
    [quote] = selection.look(LATER + AGE + 1)
    assert (quote.source, str(quote.price)) == ("b", "101")
    assert selection.look(LATER + AGE + 2) == []
    assert selection.stale(LATER + AGE + 2) == ()
    assert len(selection.stale(LATER + 3 * AGE)) == 3


def test_a_price_of_several_has_the_newest_times_of_those_that_count() -> None:
    selection = select(*(Offering(name, ["BTC-USD"]) for name in NAMES), strategy="median")
    offer(selection, "a", 0, "100")
    offer(selection, "b", 5, "100")
    quote = Quote("BTC-USD", Decimal(500), WALL + 9, WALL + 9, "c")
    [chosen], _ = selection.take("c", [quote], now_ms=9, wall_ms=WALL + 9)
    assert (chosen.time_ms, chosen.received_ms) == (WALL + 5, WALL + 5)


def test_what_several_tell_besides_is_the_middle_of_each_and_the_sum_of_volumes() -> None:
    first = details("99 101 90 120 80 1000 10")
    second = details("98 102 91 121 81 500.5 9")
    one_sided = details("- 7 92 122 82")
    combined = combine_details([first, None, second, one_sided])
    assert combined == details("98.5 101.5 91 121 81 1500.5")
    assert combine_details([None, None]) is None
    assert combine_details([Details(), None]) == Details()


sides = st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)).map(
    lambda pair: Details(Decimal(pair[0]), Decimal(pair[0] + pair[1]))
)


@given(st.lists(sides | st.none(), min_size=1, max_size=6))
def test_a_bid_of_several_is_never_above_their_ask(several: list[Details | None]) -> None:
    combined = combine_details(several)
    if combined is not None:
        assert combined.bid is not None
        assert combined.ask is not None
        assert combined.bid <= combined.ask
