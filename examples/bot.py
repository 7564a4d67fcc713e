"""A bot that acts on moves of a price, and keeps doing so through restarts and stalls.

    TICKER_API_KEY="$(cat data/demo-api-key)" python examples/bot.py BTC-USD 0.1

It says so whenever the price has moved by 0.1 % since it last spoke; a third argument ends it
after so many moves. It shows what a program that runs for months has to think of: a price must
not be acted on while the stream is away or its source is stale, a move made meanwhile is no move
of a moment, and a key that was revoked must not be retried for ever.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import trio

from ticker.client import (
    AuthenticationError,
    Disconnected,
    Price,
    Reconnected,
    Status,
    Ticker,
    TickerError,
    Welcome,
    connect,
)


class Mover:
    """Tells when a price has moved far enough."""

    def __init__(self, percent: Decimal) -> None:
        self._part = percent / 100
        self._last: Decimal | None = None
        self.moves = 0

    def forget(self) -> None:
        """Begin anew: what comes next is not compared with what was before."""
        self._last = None

    def see(self, price: Price) -> None:
        """Look at the newest price."""
        last = self._last
        if last is not None and abs(price.price - last) < last * self._part:
            return
        self._last = price.price
        if last is not None:
            self.moves += 1
            print(f"{price.symbol} {'rose' if price.price > last else 'fell'} to {price.price}")


async def main(url: str, api_key: str, symbol: str, percent: Decimal, moves: int | None) -> None:
    """Watch one symbol and speak about its moves."""
    mover = Mover(percent)
    async with connect(url, api_key=api_key, symbols=[symbol]) as client:
        async for message in client:
            match message:
                case Welcome(user_id=user):
                    print(f"connected as {user}", file=sys.stderr)
                case Disconnected(reason=reason, retry_in=seconds):
                    mover.forget()
                    print(f"prices are old: {reason}; again in {seconds:.1f} s", file=sys.stderr)
                case Reconnected():
                    print("the stream is back", file=sys.stderr)
                case Status(source=source, state=state, reason=reason):
                    print(f"{source} is {state} {reason}".rstrip(), file=sys.stderr)
                    if not client.is_live(symbol):
                        mover.forget()
                case Ticker(data=[price]) if client.is_live(symbol):
                    mover.see(price)
                    if mover.moves == moves:
                        return


if __name__ == "__main__":
    try:
        trio.run(
            main,
            os.environ.get("TICKER_URL", "http://127.0.0.1:8081"),
            os.environ["TICKER_API_KEY"],
            sys.argv[1],
            Decimal(sys.argv[2]),
            int(sys.argv[3]) if sys.argv[3:] else None,
        )
    except AuthenticationError as error:
        sys.exit(f"the key no longer works, a person is needed: {error}")
    except TickerError as error:
        sys.exit(f"gave up: {error}")
