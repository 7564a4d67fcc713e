"""Subscribe to the market within its own process: a memory channel is a subscriber like any other.

python examples/in_process_subscriber.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import trio

from ticker.encodings.encoding import Encoding
from ticker.encodings.json import JsonFormat
from ticker.market.hub import Hub
from ticker.service import running
from ticker.settings.model import Settings

#: JSON as it is, without a WebSocket's framing around it.
PLAIN = Encoding("plain", JsonFormat(), bytes)


async def show(hub: Hub, symbols: tuple[str, ...], count: int) -> None:
    """Print so many messages; however slow this is, at most one waits to be received."""
    send, receive = trio.open_memory_channel[bytes](1)
    with hub.subscribe(symbols, 1, PLAIN, send, lambda _error: None) as subscription:
        for _ in range(count):
            if subscription.behind:  # the channel was full: go on with a snapshot
                subscription.resume()
            print((await receive.receive()).decode())


async def main(count: int) -> None:
    """Run a whole service, without a listener, and subscribe to its market."""
    with tempfile.TemporaryDirectory() as data_dir:
        async with running(Settings(data_dir=Path(data_dir))) as service:
            await service.market.ingest.first_prices.wait()
            await show(service.market.hub, service.market.book.symbols, count)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if sys.argv[1:] else 10)
