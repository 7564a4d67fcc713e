"""Invented prices: a random walk, for demonstrations and tests.

Rules: the walk itself (`Walk`) is pure, given its random bytes; `batches` only adds the
clock and the pace. Prices are counted in whole price steps, so a price never carries
more decimals than its step and no rounding error adds up.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from decimal import Decimal
from typing import Final

import attrs

from ticker.limits import SIMULATION_BAND
from ticker.market.quote import DEFAULT_SYMBOLS, Quote
from ticker.market.sources import Batch, SourceConfigError, SourceContext
from ticker.market.sources.options import parse_options

__all__ = ["Walk", "create", "price_step"]

#: Where a symbol starts that has no price of its own.
DEFAULT_PRICE: Final = Decimal(100)
#: The largest move of one batch: a factor of 1 ± 0.1 %, uniformly distributed.
LARGEST_MOVE: Final = 0.001
#: One random number takes this many bytes: its 2**32 values make moves finer than any step.
_DRAW_BYTES: Final = 4
_DRAW_MAX: Final = 2 ** (8 * _DRAW_BYTES) - 1
_BAND: Final = Decimal(SIMULATION_BAND)


def price_step(start: Decimal) -> Decimal:
    """Return the price step of a symbol that starts at `start`.

    A cent, or, for a coin so cheap that a move of 0.1 % would round away, the fourth
    significant digit of its price: 0.01 from 10 upwards, 0.00000001 for 0.00001234.
    """
    return min(Decimal("0.01"), Decimal(1).scaleb(start.adjusted() - 3))


class Walk:
    """The prices of several symbols, moving together.

    Each price stays within a factor of `SIMULATION_BAND` of its start: a move that would
    leave the band goes the other way. Without that, a walk at 100 moves a second wanders
    off by orders of magnitude within days and ends where rounding stops it for ever.

    Args:
        start: where each begins, and what its band is around.
        now: where those are that go on from somewhere else.
    """

    def __init__(
        self, start: Mapping[str, Decimal], now: Mapping[str, Decimal] | None = None
    ) -> None:
        self.symbols: Final = tuple(start)
        self._steps = [price_step(price) for price in start.values()]
        self._counts = [
            int((price / step).to_integral_value())
            for price, step in zip(start.values(), self._steps, strict=True)
        ]
        self._bands = [(n / SIMULATION_BAND, n * SIMULATION_BAND) for n in self._counts]
        for place, symbol in enumerate(self.symbols):
            if now is not None and symbol in now:
                low, high = self._bands[place]
                n = int((now[symbol] / self._steps[place]).to_integral_value())
                self._counts[place] = min(max(n, math.ceil(low)), math.floor(high))

    @property
    def draw_bytes(self) -> int:
        """How many random bytes one `move` takes."""
        return _DRAW_BYTES * len(self.symbols)

    def prices(self) -> list[Decimal]:
        """Return the prices as they are now, in the order of `symbols`."""
        return [n * step for n, step in zip(self._counts, self._steps, strict=True)]

    def move(self, randomness: bytes) -> None:
        """Move every price by the factor that its four bytes of `randomness` stand for."""
        counts = self._counts
        for i, draw in enumerate(memoryview(randomness).cast("I")):
            n = counts[i]
            change = n * LARGEST_MOVE * (2 * draw / _DRAW_MAX - 1)
            low, high = self._bands[i]
            if not low <= n + change <= high:
                change = -change
            counts[i] = round(n + change)


@attrs.frozen
class Simulated:
    """The source of invented prices; it yields one batch of every symbol each tick."""

    start: Mapping[str, Decimal]
    context: SourceContext
    seed: str | None = None

    name = "simulated"
    inline = True

    @property
    def symbols(self) -> Sequence[str]:
        """The symbols asked for, or the three of the demonstration."""
        return tuple(self.start)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the prices, and a move of every one after each tick of the market.

        They go on from what the market showed last, if that was invented too, in whatever process,
        with a move at once, or from what was kept of a process before; else they begin at the start
        prices.
        """
        randomness = random.SystemRandom() if self.seed is None else random.Random(self.seed)  # noqa: S311 - a seed is for repeatable tests
        walk = Walk(self.start, self._before())
        if any(map(self._shown, self.start)):
            walk.move(randomness.randbytes(walk.draw_bytes))  # what subscribers have is no news
        while True:
            now = self.context.wall_ms()
            yield [
                Quote(symbol, price, now, now, self.name)
                for symbol, price in zip(walk.symbols, walk.prices(), strict=True)
            ]
            await self.context.next_tick()
            walk.move(randomness.randbytes(walk.draw_bytes))

    def _shown(self, symbol: str) -> Quote | None:
        """Return what the market shows of a symbol, if that was invented."""
        shown = self.context.last(symbol)
        return shown if shown is not None and shown.source == self.name else None

    def _before(self) -> dict[str, Decimal]:
        """Return the prices to go on from, by symbol."""
        found: dict[str, Decimal] = {}
        for symbol, start in self.start.items():
            shown = self._shown(symbol)
            if shown is not None:
                found[symbol] = shown.price
            elif (
                self.context.last(symbol) is None and self.seed is None
            ):  # a seed gives the same prices at each start
                kept = self.context.kept(symbol)
                # Beyond that, it is of another start price.
                if kept is not None and 1 / _BAND <= kept / start <= _BAND:
                    found[symbol] = kept
        return found


def create(argument: str, context: SourceContext) -> Simulated:
    """Make the source for `simulated` or `simulated:seed=7`.

    Raises:
        SourceConfigError: an unknown option, or a start price that is not above zero.
    """
    options = parse_options("simulated", argument, ["seed"])
    start = {
        symbol: DEFAULT_SYMBOLS.get(symbol, DEFAULT_PRICE) if price is None else price
        for symbol, price in (context.symbols or DEFAULT_SYMBOLS).items()
    }
    for symbol, price in start.items():
        if not (price.is_finite() and price > 0):
            raise SourceConfigError(f"simulated: {symbol} cannot start at {price}, only above zero")
    return Simulated(start, context, options.get("seed"))
