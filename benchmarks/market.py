"""A source of which few symbols move at a time; the simulated one moves every symbol at every tick.

Ticker finds it as it finds any source of another package: by an entry point, which `register`
writes into a folder for `PYTHONPATH`. It makes its quotes with as little work as it can, so that
what is measured is what Ticker does with them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from ticker.limits import AFFIRM_SECONDS
from ticker.market.quote import Quote
from ticker.market.sources import Batch, SourceContext

#: The setting that names it, with how many symbols move in a tick.
NAME: Final = "few"
_METADATA: Final = "Metadata-Version: 2.1\nName: benchmark-market\nVersion: 1\n"


def register(folder: Path) -> None:
    """Let a Python that has `folder` and the repository on its path find the source."""
    information = folder / "benchmark_market-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(_METADATA)
    (information / "entry_points.txt").write_text(
        f"[ticker.sources]\n{NAME} = benchmarks.market:Few\n"
    )


class Few:
    """The source."""

    name = NAME
    inline = True  # it yields in no nursery and no cancel scope

    def __init__(self, argument: str, context: SourceContext) -> None:
        self._context = context
        self._moving = int(argument)
        self.symbols: Sequence[str] = tuple(context.symbols)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield every symbol, then a few of them each tick; affirm all of them each second."""
        chance, context, symbols = random.Random(1), self._context, self.symbols
        prices = [Decimal(number) / 100 for number in range(100, 100_000)]
        quotes = {symbol: self._quote(symbol, chance.choice(prices)) for symbol in symbols}
        yield tuple(quotes.values())
        affirm_at = context.wall_ms() + AFFIRM_SECONDS * 1000
        while True:
            await context.next_tick()
            moved = {
                symbol: self._quote(symbol, chance.choice(prices))
                for symbol in chance.sample(symbols, self._moving)
            }
            quotes |= moved
            now = context.wall_ms()
            if now < affirm_at:
                yield tuple(moved.values())
                continue
            affirm_at = now + AFFIRM_SECONDS * 1000
            yield [Quote(q.symbol, q.price, q.time_ms, now, self.name) for q in quotes.values()]

    def _quote(self, symbol: str, price: Decimal) -> Quote:
        now = self._context.wall_ms()
        return Quote(symbol, price, now, now, self.name)
