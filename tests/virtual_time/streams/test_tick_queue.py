"""What waits for a subscriber of `every` is written in order, and dropped at once when it ends."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from ticker import limits
from ticker.streams.tick_queue import TickQueue


class Sink:
    """A stream that takes what it is given, once it may."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.open = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.open.wait()
        self.taken.append(bytes(data))


async def test_frames_are_written_in_order() -> None:
    queue, sink = TickQueue(), Sink()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.write_to, sink)
        for number in range(5):
            queue.send_nowait(b"%d" % number)
            await trio.testing.wait_all_tasks_blocked()
        sink.open.set()
        await trio.testing.wait_all_tasks_blocked()
        queue.close()
    assert sink.taken == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_frame_on_its_way_to_the_writer_is_not_written_after_the_end() -> None:
    queue, sink = TickQueue(), Sink()
    sink.open.set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.write_to, sink)
        await trio.testing.wait_all_tasks_blocked()
        queue.send_nowait(b"late")  # goes straight to the task that waits for it
        queue.close()
    assert sink.taken == []


async def test_what_was_written_makes_room() -> None:
    queue, sink = TickQueue(), Sink()
    sink.open.set()
    frame = b"x" * (limits.EVERY_BYTES // 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.write_to, sink)
        for _ in range(3):
            queue.send_nowait(frame)
            queue.send_nowait(frame)
            with pytest.raises(trio.WouldBlock):
                queue.send_nowait(b"x")
            await trio.testing.wait_all_tasks_blocked()
        queue.close()
    assert len(sink.taken) == 6
