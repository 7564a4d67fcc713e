"""Writing down what a running Ticker streams: each tick that changed something, none missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import attrs
import msgspec

from ticker.client import Client, Message, Price, Ticker
from ticker.market.sources.recorder import CaptureWriter
from ticker.protocol.decimals import encode_json


@attrs.define
class StreamRecording:
    """What was recorded of a stream.

    Attributes:
        gaps: how often ticks may be missing, since the stream was away for longer than the server
            remembers, or another process took the market over: a snapshot begins anew then.
    """

    writer: CaptureWriter
    gaps: int = 0
    _held: dict[str, Price] = attrs.field(factory=dict, init=False)

    async def run(self, stream: AbstractAsyncContextManager[Client]) -> None:
        """Record until cancelled.

        Raises:
            TickerError: the stream has failed for good.
            CaptureError: the file cannot be written.
        """
        async with stream as client:
            await self.take(client)

    async def take(self, messages: AsyncIterator[Message]) -> None:
        """Write what holds a price, under the time at which the server published it."""
        async for message in messages:
            if isinstance(message, Ticker) and message.data:
                if message.snapshot and self._held:
                    self.gaps += 1
                self._write(message)

    def _write(self, tick: Ticker) -> None:
        if tick.snapshot:
            self._held.clear()
        self._held.update((price.symbol, price) for price in tick.data)
        rotations = self.writer.rotations
        self.writer.write(encode_json(tick), tick.time)
        if self.writer.rotations > rotations:
            # A file is a recording by itself, also of the symbols that do not move for long.
            whole = msgspec.structs.replace(
                tick, data=tuple(self._held.values()), prev=None, snapshot=True
            )
            self.writer.write(encode_json(whole), tick.time)
