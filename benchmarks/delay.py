"""The exchange and the subscriber of `alone.delay`: how long a price takes from one to the other.

    python -m benchmarks.delay SECONDS

It says in a line where the exchange listens, reads in a line the port and the token of a Ticker,
and prints the delay of each price in milliseconds. The exchange is the stand-in of the tests.
"""

from __future__ import annotations

import json
import random
import re
import sys
from functools import partial
from typing import Final

import trio

from benchmarks.commands import HOST
from benchmarks.servers import request
from tests.exchange_standin.coinbase import COINBASE
from tests.exchange_standin.standin import StandIn

_PRICE: Final = re.compile(rb'"price":([0-9.]+)')
#: Between two prices: longer than a tick, so that none takes the place of another, and not in step.
_PAUSES: Final = (0.06, 0.13)
#: A pong that was not asked for, masked with zeros (RFC 6455 §5.5.3): a sign of life.
_PONG: Final = b"\x8a\x80\x00\x00\x00\x00"
_PONG_SECONDS: Final = 5.0


async def _trade(exchange: StandIn, seconds: float, sent: dict[bytes, float]) -> None:
    """Let prices be made, each another one."""
    chance = random.Random(1)
    cents, end = 4_000_000, trio.current_time() + seconds
    while trio.current_time() < end:
        await trio.sleep(chance.uniform(*_PAUSES))
        cents += 1
        price = f"{cents // 100}.{cents % 100:02}"
        sent[price.encode()] = trio.current_time()
        await exchange.trade("BTC-USD", price)
    await trio.sleep(1)


async def _read(port: int, token: str, sent: dict[bytes, float], delays: list[float]) -> None:
    """Subscribe, and note when each price comes for the first time."""
    stream = await trio.open_tcp_stream(HOST, port)
    await stream.send_all(request(token))
    said = trio.current_time()
    async for received in stream:
        now = trio.current_time()
        if now - said > _PONG_SECONDS:
            said = now
            await stream.send_all(_PONG)
        for price in _PRICE.findall(received):
            began = sent.pop(price, None)
            if began is not None:
                delays.append((now - began) * 1000)


async def main() -> None:
    """Serve the exchange, and watch its prices arrive."""
    exchange = StandIn(COINBASE)
    sent: dict[bytes, float] = {}
    delays: list[float] = []
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, exchange.serve, 0, host=HOST, handler_nursery=nursery)
        listener, *_ = await nursery.start(serve)
        url = f"ws://{HOST}:{listener.socket.getsockname()[1]}"
        print(json.dumps({"url": url}), flush=True)
        line = await trio.to_thread.run_sync(sys.stdin.readline)
        port, token = json.loads(line)
        await exchange.subscribed()
        nursery.start_soon(_read, port, token, sent, delays)
        await trio.sleep(1)
        await _trade(exchange, float(sys.argv[1]), sent)
        nursery.cancel_scope.cancel()
    print(json.dumps(delays))


if __name__ == "__main__":
    trio.run(main)
