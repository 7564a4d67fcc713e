"""The simulated source: its walk, its price steps and what it refuses."""

from __future__ import annotations

import math
import time
from decimal import Decimal

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ticker.limits import PRICE_EXPONENT, SIMULATION_BAND
from ticker.market.quote import Quote
from ticker.market.sources import (
    Source,
    SourceConfigError,
    SourceContext,
    load_source,
    open_batches,
)
from ticker.market.sources.simulated import LARGEST_MOVE, Walk, create, price_step

prices = st.decimals("0.00000001", "1000000", allow_nan=False, places=8)


async def take(source: Source, count: int) -> list[list[Quote]]:
    """Return the first batches of a source."""
    taken: list[list[Quote]] = []
    with trio.fail_after(5):
        async with open_batches(source) as batches:
            async for batch in batches:
                taken.append(list(batch))
                if len(taken) == count:
                    break
    return taken


@pytest.mark.parametrize(
    ("start", "step"),
    [
        ("42000", "0.01"),
        ("95", "0.01"),
        ("10", "0.01"),
        ("9.99", "0.001"),
        ("0.5", "0.0001"),
        ("0.00001234", "0.00000001"),
    ],
)
def test_a_cheap_coin_has_a_finer_price_step(start: str, step: str) -> None:
    assert price_step(Decimal(start)) == Decimal(step)


@pytest.mark.parametrize("start", [f"1e{PRICE_EXPONENT}", f"1e-{PRICE_EXPONENT}"])
def test_the_highest_and_the_lowest_price_move_too(start: str) -> None:
    walk = Walk({"A-B": Decimal(start)})
    walk.move(bytes(walk.draw_bytes))
    assert walk.prices() == [pytest.approx(Decimal(start) * Decimal("0.999"))]


async def test_the_first_batch_is_the_start_prices_with_their_decimals() -> None:
    source = load_source("simulated", SourceContext(symbols={}))
    [batch] = await take(source, 1)
    assert [(quote.symbol, str(quote.price)) for quote in batch] == [
        ("BTC-USD", "42000.00"),
        ("ETH-USD", "2500.00"),
        ("SOL-USD", "95.00"),
    ]
    assert {quote.source for quote in batch} == {"simulated"}


async def test_a_symbol_without_a_price_starts_at_one_hundred_or_its_known_price() -> None:
    source = create("", SourceContext(symbols={"NEW-USD": None, "BTC-USD": None}))
    [batch] = await take(source, 1)
    assert [str(quote.price) for quote in batch] == ["100.00", "42000.00"]


async def test_the_same_seed_gives_the_same_prices_and_another_seed_others() -> None:
    async def walked(seed: str) -> list[list[Decimal]]:
        source = create(f"seed={seed}", SourceContext(symbols={}))
        return [[quote.price for quote in batch] for batch in await take(source, 50)]

    assert await walked("7") == await walked("7")
    assert await walked("7") != await walked("8")


@pytest.mark.parametrize(
    ("shown", "source", "price", "moves"),
    [
        ("43000.12", "simulated", "43000.12", 1),
        ("43000.12", "coinbase", "42000.00", 0),
        ("90000", "simulated", "63000.00", 1),
        ("1", "simulated", "28000.00", 1),
    ],
)
async def test_it_goes_on_from_what_was_invented_before_with_a_move_within_its_band(
    shown: str, source: str, price: str, moves: int
) -> None:
    def last(symbol: str) -> Quote | None:
        return Quote(symbol, Decimal(shown), 1, 1, source)

    made = create("seed=7", SourceContext(symbols={"BTC-USD": None}, last=last))
    [[quote]] = await take(made, 1)
    assert Decimal(28000) <= quote.price <= Decimal(63000)
    assert abs(quote.price / Decimal(price) - 1) <= moves * Decimal(LARGEST_MOVE)
    assert (quote.price != Decimal(price)) == bool(moves)


async def test_a_batch_follows_each_tick_of_the_market() -> None:
    ticks = 0

    async def next_tick() -> None:
        nonlocal ticks
        ticks += 1
        await trio.lowlevel.checkpoint()

    await take(create("", SourceContext(symbols={}, next_tick=next_tick)), 5)
    assert ticks == 4


@pytest.mark.parametrize(
    ("spec", "kept", "first"),
    [
        ("simulated", "41000.07", "41000.07"),
        ("simulated", "63000", "63000.00"),
        ("simulated", "63000.01", "42000.00"),  # of another start price
        ("simulated", "27999.99", "42000.00"),
        ("simulated", None, "42000.00"),
        ("simulated:seed=7", "41000.07", "42000.00"),
    ],
)
async def test_it_goes_on_from_what_was_kept_before_unless_it_has_a_seed(
    spec: str, kept: str | None, first: str
) -> None:
    context = SourceContext(
        symbols={"BTC-USD": Decimal(42000)},
        kept=lambda _: None if kept is None else Decimal(kept),
    )
    [[quote]] = await take(load_source(spec, context), 1)
    assert quote.price == Decimal(first)


@given(start=prices, draws=st.lists(st.binary(min_size=4, max_size=4), max_size=50))
def test_every_move_is_within_a_tenth_of_a_percent_and_the_band(
    start: Decimal, draws: list[bytes]
) -> None:
    step = price_step(start)
    walk = Walk({"A-B": start})
    [first] = [before] = walk.prices()
    for draw in draws:
        walk.move(draw)
        [after] = walk.prices()
        assert abs(after - before) <= before * Decimal("0.001") + step / 2
        assert after % step == 0
        assert after.as_tuple().exponent == step.as_tuple().exponent
        assert 0 < float(first) / SIMULATION_BAND * 0.999 <= after
        assert after <= float(first) * SIMULATION_BAND * 1.001
        before = after


@pytest.mark.parametrize("extreme", [b"\x00" * 4, b"\xff" * 4])
def test_a_price_that_only_falls_or_rises_turns_at_the_edge_and_never_freezes(
    extreme: bytes,
) -> None:
    walk = Walk({"CHEAP-USD": Decimal(1)})
    seen = []
    for _ in range(2000):
        walk.move(extreme)
        seen += walk.prices()
    assert min(seen) > 0
    assert len(set(seen[-10:])) > 1


def test_moves_are_spread_evenly_over_the_range() -> None:
    walk = Walk({"BTC-USD": Decimal(42000)})
    moves = []
    for i in range(0, 2**32, 2**32 // 1000):
        [before] = walk.prices()
        walk.move(i.to_bytes(4, "little"))
        [after] = walk.prices()
        moves.append(float(after / before) - 1)
    assert math.isclose(min(moves), -0.001, rel_tol=0.01)
    assert math.isclose(max(moves), 0.001, rel_tol=0.01)
    assert abs(sum(moves) / len(moves)) < 0.00001


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("simulated:sead=7", "no option is called 'sead'; it has: seed"),
        ("simulated:seed", "options look like name=value"),
        ("simulated:seed=", "has no value"),
        ("simulated:seed=1&seed=2", "given twice"),
    ],
)
def test_a_wrong_option_is_one_clear_line(spec: str, problem: str) -> None:
    with pytest.raises(SourceConfigError) as caught:
        load_source(spec, SourceContext(symbols={}))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_a_start_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(SourceConfigError, match="BTC-USD cannot start at"):
        create("", SourceContext(symbols={"BTC-USD": Decimal(price)}))


async def test_five_hundred_symbols_move_in_far_less_than_a_tick() -> None:
    symbols = {f"S{i}-USD": Decimal(100 + i) for i in range(500)}
    started = time.process_time()
    await take(create("", SourceContext(symbols=symbols)), 100)
    # A hundred ticks are a second; the target is 15 % of a core, the bound leaves room for noise.
    assert time.process_time() - started < 0.6


async def test_it_runs_in_the_task_that_takes_its_prices() -> None:
    tasks = []

    async def next_tick() -> None:
        tasks.append(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()

    assert len(await take(create("", SourceContext(symbols={}, next_tick=next_tick)), 3)) == 3
    assert set(tasks) == {trio.lowlevel.current_task()}
