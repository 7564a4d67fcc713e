"""The past in bars, against a model that is plainly right."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticker.market.candles import STEPS, Candles, Step

Shown = tuple[int, str, str, str, str]
NOW = 1_790_000_000_000
SECOND, MINUTE, HOUR = STEPS.values()


def shown(
    candles: Candles,
    step: Step = SECOND,
    *,
    now: int,
    begin: int | None = None,
    end: int | None = None,
    limit: int | None = None,
) -> list[Shown]:
    bars = candles.bars(step, now_ms=now, begin=begin, end=end, limit=limit)
    return [(bar.begin, *bar.prices) for bar in bars]


def exact(bars: list[Shown]) -> list[tuple[int, Decimal, Decimal, Decimal, Decimal]]:
    return [(bar[0], *map(Decimal, bar[1:])) for bar in bars]  # type: ignore[misc]


def model(prices: list[tuple[int, Decimal]], step: Step, now: int) -> list[object]:
    """Group prices by their own second, in the order in which they came; then the seconds."""
    seconds: dict[int, list[Decimal]] = {}
    for time_ms, price in prices:
        seconds.setdefault(time_ms // 1000, []).append(price)
    bars: dict[int, list[Decimal]] = {}
    for second in sorted(seconds):
        bars.setdefault(step.begin(second * 1000), []).extend(seconds[second])
    oldest = step.begin(now) - (step.bars - 1) * step.ms
    return [
        (begin, seen[0], max(seen), min(seen), seen[-1])
        for begin, seen in sorted(bars.items())
        if begin >= oldest
    ]


#: Of 28 digits at most, as `checked_price` has it.
prices = st.decimals("1e-12", "1e10", allow_nan=False).map(lambda each: +each)
#: Mostly the next moments, some late by seconds or minutes, and a clock that jumps by an hour.
moves = st.one_of(
    st.integers(0, 2_000),
    st.integers(-5_000, 5_000),
    st.integers(-300_000, 300_000),
    st.sampled_from([-3_600_000, 3_600_000]),
)


@settings(deadline=None)
@given(st.lists(st.tuples(moves, prices), max_size=80), st.sampled_from(list(STEPS.values())))
def test_bars_are_what_the_prices_were_however_late_they_came(
    steps: list[tuple[int, Decimal]], step: Step
) -> None:
    candles, now, came = Candles(), NOW, []
    for move, price in steps:
        now += move
        came.append((now, price))
        candles.add(now, price)
    assert exact(shown(candles, step, now=now)) == model(came, step, now)


volumes = st.one_of(st.none(), st.decimals(0, "1e6", places=9))


@settings(deadline=None)
@given(
    st.lists(st.tuples(moves, prices, volumes, st.integers(0, 9)), max_size=80),
    st.sampled_from(list(STEPS.values())),
)
def test_seconds_put_in_together_make_the_bars_that_they_make_one_by_one(
    steps: list[tuple[int, Decimal, Decimal | None, int]], step: Step
) -> None:
    together, one_by_one, now = Candles(), Candles(), NOW
    for candles in (together, one_by_one):
        candles.unsaved = set()
    for move, price, volume, settles in steps:
        now += move
        together.add(now, price, volume)
        if settles == 0:
            together.settle_over()
        one_by_one.add(now, price, volume)
        one_by_one.settle()
    ours, theirs = (
        [
            (
                bar.begin,
                [Decimal(price) for price in bar.prices],
                bar.volume and Decimal(bar.volume),
            )
            for bar in each.bars(step, now_ms=now, begin=None, end=None, limit=None)
        ]
        for each in (together, one_by_one)
    )
    assert ours == theirs
    assert together.unsaved == one_by_one.unsaved


@settings(deadline=None)
@given(
    st.lists(st.tuples(moves, prices, st.booleans()), max_size=60),
    st.sampled_from([(SECOND, MINUTE), (MINUTE, HOUR)]),
)
def test_a_coarser_bar_is_the_fold_of_the_finer_ones_whenever_it_is_asked(
    steps: list[tuple[int, Decimal, bool]], pair: tuple[Step, Step]
) -> None:
    finer, coarser = pair
    candles, now = Candles(), NOW - NOW % HOUR.ms - 30_000  # a day's border is near
    for move, price, ask in steps:
        now += move
        candles.add(now, price)
        if ask:
            shown(candles, now=now)
    folded: dict[int, list[Shown]] = {}
    for bar in shown(candles, finer, now=now):
        folded.setdefault(coarser.begin(bar[0]), []).append(bar)
    whole = {bar[0]: bar for bar in shown(candles, coarser, now=now)}
    oldest = finer.begin(now) - (finer.bars - 1) * finer.ms
    for begin, bars in folded.items():
        if begin >= oldest:
            highs, lows = (Decimal(bar[2]) for bar in bars), (Decimal(bar[3]) for bar in bars)
            assert exact([whole[begin]]) == [
                (begin, Decimal(bars[0][1]), max(highs), min(lows), Decimal(bars[-1][4]))
            ]


@pytest.mark.parametrize(
    "given_prices",
    [
        ["1E-8", "2E-8"],
        ["42000.10", "0.000000000000000001"],
        ["1234567890123456789.123456789", "1"],
        ["9" * 28, "0.5"],
    ],
)
def test_no_digit_is_lost_whatever_the_prices_and_none_has_an_exponent(
    given_prices: list[str],
) -> None:
    candles = Candles()
    for number, price in enumerate(given_prices):
        candles.add(NOW + number * 1000, Decimal(price))
    bars = shown(candles, now=NOW + 1000)
    assert [Decimal(bar[1]) for bar in bars] == [Decimal(price) for price in given_prices]
    assert not any("E" in text.upper() for bar in bars for text in bar[1:])


def test_more_than_is_kept_makes_room_for_the_newest() -> None:
    candles = Candles()
    for second in range(SECOND.bars + 500):
        candles.add(NOW + second * 1000, Decimal(second))
        candles.add(NOW + second * 1000 + 999, Decimal(second) + Decimal("0.5"))
    now = NOW + (SECOND.bars + 499) * 1000
    bars = shown(candles, now=now)
    assert len(bars) == SECOND.bars
    assert bars[0] == (NOW + 500_000, "500.0", "500.5", "500.0", "500.5")
    assert bars[-1][0] == now
    [first, *_] = shown(candles, MINUTE, now=now)
    assert first[1] == "0.0"  # the minutes remember longer


def test_a_price_too_late_for_its_second_widens_the_older_bars_alone() -> None:
    candles = Candles()
    for second in range(SECOND.bars + 120):
        candles.add(NOW + second * 1000, Decimal(100))
    now = NOW + (SECOND.bars + 119) * 1000
    seconds = shown(candles, now=now)
    candles.add(NOW + 1000, Decimal(500))
    assert shown(candles, now=now) == seconds
    [first, *_] = shown(candles, MINUTE, now=now)
    assert first[1:] == ("100", "500", "100", "100")


def test_a_range_is_from_inclusive_to_exclusive_and_limited_to_the_newest() -> None:
    candles = Candles()
    for second in (0, 1, 2, 4, 5):
        candles.add(NOW + second * 1000, Decimal(second + 1))

    def seconds(
        begin: int | None = None, end: int | None = None, limit: int | None = None
    ) -> list[int]:
        bars = shown(candles, now=NOW + 5000, begin=begin, end=end, limit=limit)
        return [(bar[0] - NOW) // 1000 for bar in bars]

    assert seconds() == [0, 1, 2, 4, 5]  # a second without a price has no bar
    assert seconds(begin=NOW + 1000, end=NOW + 4000) == [1, 2]
    assert seconds(begin=NOW + 1, end=NOW + 4001) == [1, 2, 4]
    assert seconds(limit=2) == [4, 5]
    assert seconds(end=NOW + 4000, limit=2) == [1, 2]
    assert seconds(begin=NOW + 9000) == seconds(begin=NOW + 4000, end=NOW + 2000) == []


def test_what_is_older_than_is_kept_is_not_shown() -> None:
    candles = Candles()
    candles.add(NOW, Decimal(1))
    for step in STEPS.values():
        last = step.begin(NOW) + (step.bars - 1) * step.ms
        assert len(shown(candles, step, now=last)) == 1
        assert shown(candles, step, now=last + step.ms) == []


def test_no_price_no_bars() -> None:
    assert shown(Candles(), now=NOW) == []


def test_keeping_leaves_the_second_that_is_filled_apart_also_after_a_part_of_it_was_read() -> None:
    candles, kept = Candles(), Candles()
    candles.unsaved = set()
    candles.add(NOW, Decimal(1))
    candles.settle()  # a part of a second is among the bars
    for tick in range(1, 100):
        candles.add(NOW + 100 * tick, Decimal(tick))
        if tick % 10 == 5:
            told = candles.take_unsaved()
            kept.put((step, bar) for step, _, bar in told if bar is not None)
            if tick > 10:
                filling = SECOND.begin(NOW + 100 * tick)
                settled = candles.series(SECOND.name).last_begin()
                assert settled is not None
                assert settled < filling
    told = candles.take_unsaved()
    kept.put((step, bar) for step, _, bar in told if bar is not None)
    assert shown(kept, now=NOW + 10_000) == shown(candles, now=NOW + 10_000)


def test_a_market_that_stands_still_is_told_of_once() -> None:
    candles = Candles()
    candles.unsaved = set()
    candles.add(NOW, Decimal(1))
    first = (SECOND.name, NOW, (NOW, *[Decimal(1)] * 4, None))
    assert candles.take_unsaved() == [first]
    assert candles.take_unsaved() == []
    candles.add(NOW + 100, Decimal(2))
    (again,) = candles.take_unsaved()
    assert again[2] is not None
    assert list(again[2][1:5]) == [Decimal(1), Decimal(2), Decimal(1), Decimal(2)]
    candles.add(NOW + 1000, Decimal(3))
    assert [begin for _, begin, _ in candles.take_unsaved()] == [NOW, NOW + 1000]
    assert candles.take_unsaved() == []
    candles.settle()  # as a reader has it done
    assert {begin for _, begin, _ in candles.take_unsaved()} <= {NOW, NOW + 1000}
    assert candles.take_unsaved() == []
