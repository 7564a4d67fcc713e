"""A healthy subscriber that checks every byte of its stream while others misbehave.

Each ticker message must be exactly what the server writes: all symbols, in order, and a
sequence number one above the last, so that a missing, late, torn or foreign frame fails.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.support.frames import TEXT
from tests.support.raw import RawStream, opened
from tests.support.server import Server
from tests.support.waiting import eventually


class Witness:
    """One healthy subscriber.

    Attributes:
        ticks: how many ticks it has seen, one after the other.
        longest: the longest wait for a tick, in seconds.
    """

    def __init__(self, stream: RawStream) -> None:
        self._stream = stream
        self._seq = 0
        self.ticks = 0
        self.longest = 0.0

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check the stream until cancelled; fails at the first byte that is wrong."""
        welcome = await self._stream.message()
        assert welcome["type"] == "welcome", welcome
        shape = _shape(welcome["symbols"])
        last = trio.current_time()
        while True:
            frame = await self._stream.frame()
            assert frame is not None, "the healthy subscriber was cut off"
            assert frame.opcode == TEXT, f"the healthy subscriber got {frame}"
            found = shape.fullmatch(frame.payload)
            assert found is not None, f"the healthy subscriber got {frame.payload!r}"
            seq, snapshot = int(found["seq"]), found["snapshot"] is not None
            if self._seq:
                assert not snapshot, f"the healthy subscriber was behind at {seq}"
                assert seq == self._seq + 1, f"a gap: {seq} follows {self._seq}"
                now = trio.current_time()
                self.longest, last = max(self.longest, now - last), now
            else:
                last = trio.current_time()
                task_status.started()
            self._seq = seq
            self.ticks += 1


def _shape(symbols: list[str]) -> re.Pattern[bytes]:
    """Return what a payload must look like, to the byte."""
    entries = ",".join(
        rf'{{"symbol":"{re.escape(symbol)}","price":\d+(?:\.\d+)?,"timestamp":\d{{10}}}}'
        for symbol in symbols
    )
    return re.compile(
        rf'{{"type":"ticker","data":\[{entries}\],"seq":(?P<seq>\d+),"time":\d{{13}}'
        r'(?P<snapshot>,"snapshot":true)?}'.encode()
    )


@asynccontextmanager
async def witnessed(server: Server) -> AsyncIterator[Witness]:
    """Have a healthy subscriber watch while the block runs; its failure ends the block."""
    async with opened(server) as stream, trio.open_nursery() as nursery:
        witness = Witness(stream)
        await nursery.start(witness.watch)
        yield witness
        before = witness.ticks
        await eventually(lambda: witness.ticks >= before + 10, "the healthy stream to go on")
        nursery.cancel_scope.cancel()
