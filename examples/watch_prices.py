"""Print each price as it comes: the smallest program on the client.

    python examples/watch_prices.py http://127.0.0.1:8081 "$(cat data/demo-api-key)"

Give a third argument to end after so many updates.
"""

from __future__ import annotations

import sys
from itertools import count

import trio

from ticker.client import Ticker, connect


async def main(url: str, api_key: str, updates: int | None = None) -> None:
    """Print prices, at most ten times a second."""
    numbers = count(1)
    async with connect(url, api_key=api_key, interval_ms=100) as client:
        async for message in client:
            if isinstance(message, Ticker):
                print(*(f"{price.symbol} {price.price}" for price in message.data), sep="  ")
                if next(numbers) == updates:
                    return


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else None)
