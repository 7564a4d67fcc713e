"""A source of prices of your own; docs/sources.md says how Ticker finds it."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal

import trio

from ticker.sources import Quote, SourceContext, open_batches


class Tide:
    """The tide at one place; `argument` is what follows the colon in `tide:hours=12`."""

    name, symbols = "tide", ("TIDE-USD",)

    def __init__(self, argument: str, context: SourceContext) -> None:  # noqa: ARG002 - none here
        self._wall_ms = context.wall_ms

    async def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Yield prices until cancelled; an exception has the source restarted."""
        while True:
            now = self._wall_ms()
            height = Decimal(f"{100 + 10 * math.sin(now / 10_000):.2f}")
            yield [Quote("TIDE-USD", height, time_ms=now, received_ms=now, source=self.name)]
            await trio.sleep(0.1)


async def _show() -> None:
    async with open_batches(Tide("", SourceContext(symbols={}))) as batches:
        for _ in range(5):
            print(*(f"{quote.symbol} {quote.price}" for quote in await anext(batches)))


if __name__ == "__main__":
    trio.run(_show)
