"""The last hour in one-second bars, against a model that is plainly right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticker.market.candles import BARS, STEP_MS, Candles

Bar = tuple[int, float, float, float, float]


def model(prices: list[tuple[int, float]], now_ms: int) -> list[Bar]:
    """Group prices by second, a price older than the newest second counting in that one."""
    bars: list[tuple[int, list[float]]] = []
    for time_ms, price in prices:
        second = time_ms // STEP_MS
        if bars and second <= bars[-1][0]:
            bars[-1][1].append(price)
        else:
            bars.append((second, [price]))
    return [
        (second * STEP_MS, seen[0], max(seen), min(seen), seen[-1])
        for second, seen in bars[-BARS:]
        if second > now_ms // STEP_MS - BARS
    ]


@given(
    st.lists(st.tuples(st.integers(-3000, 5000), st.floats(0.01, 100)), max_size=80),
    st.integers(0, 2 * BARS * STEP_MS),
)
def test_bars_are_what_the_prices_were(steps: list[tuple[int, float]], later: int) -> None:
    candles, now, prices = Candles(), 1_790_000_000_000, []
    for step, price in steps:
        now += step
        prices.append((now, price))
        candles.add(now, price)
    assert candles.bars(now + later) == model(prices, now + later)


def test_more_than_an_hour_goes_round_the_ring() -> None:
    candles = Candles()
    for second in range(BARS + 500):
        candles.add(second * STEP_MS, float(second))
        candles.add(second * STEP_MS + 999, float(second) + 0.5)
    now = (BARS + 499) * STEP_MS
    bars = candles.bars(now)
    assert len(bars) == BARS
    assert bars[0] == (500 * STEP_MS, 500.0, 500.5, 500.0, 500.5)
    assert bars[-1][0] == now
    assert [bar[0] for bar in bars] == sorted(bar[0] for bar in bars)


def test_an_hour_of_silence_leaves_nothing() -> None:
    candles = Candles()
    candles.add(0, 1.0)
    assert len(candles.bars((BARS - 1) * STEP_MS)) == 1
    assert candles.bars(BARS * STEP_MS) == []


def test_no_price_no_bars() -> None:
    assert Candles().bars(1_790_000_000_000) == []
