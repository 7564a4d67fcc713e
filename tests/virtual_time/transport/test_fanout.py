"""Ticks to many streams at once: who cannot be written now is left to the way that knows."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio

from tests.support.rings import needs_ring
from ticker import limits
from ticker.encodings.websocket_frames import close_frame
from ticker.market.subscriber import ONE_BY_ONE
from ticker.transport.fanout import RingFanout, open_fanout
from ticker.transport.io_uring import Ring
from ticker.transport.socket_stream import SocketStream

COUNT = 2 * limits.RING_FRAMES
FRAME = b"a frame"
LARGE = b"x" * 1_000_000


@pytest.fixture
def fanout() -> Iterator[RingFanout]:
    with Ring(64, longest=len(LARGE)) as ring:
        yield RingFanout(ring)


@asynccontextmanager
async def streams(count: int = COUNT) -> AsyncIterator[list[tuple[SocketStream, socket.socket]]]:
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listening:
        found = []
        for _ in range(count):
            reader = stack.enter_context(socket.create_connection(listening.getsockname()))
            reader.settimeout(5)
            accepted, _address = listening.accept()
            accepted.settimeout(0)
            stream = SocketStream(accepted)
            stack.callback(stream.abort)
            stream.tune()
            found.append((stream, reader))
        yield found


@needs_ring
async def test_all_who_can_take_a_frame_get_it_and_the_others_are_named(
    fanout: RingFanout,
) -> None:
    async with streams() as found:
        offer = fanout.gather([stream for stream, _ in found])
        assert list(offer(FRAME)) == []
        assert [reader.recv(100) for _, reader in found] == [FRAME] * COUNT
        found[3][0].abort()
        missed = dict(offer(FRAME))
        assert missed.keys() == {3}
        assert isinstance(missed[3], trio.BrokenResourceError)
        others = [reader for place, (_, reader) in enumerate(found) if place != 3]
        assert [reader.recv(100) for reader in others] == [FRAME] * (COUNT - 1)


@needs_ring
async def test_a_descriptor_that_changed_hands_is_never_written_to(fanout: RingFanout) -> None:
    async with streams() as found:
        offer = fanout.gather([stream for stream, _ in found])
        number = found[5][0].fileno()
        found[5][0].abort()
        stranger, its_reader = socket.socketpair()
        with stranger, its_reader:
            its_reader.settimeout(0)
            assert stranger.fileno() == number
            assert dict(offer(FRAME)).keys() == {5}
            with pytest.raises(BlockingIOError):
                its_reader.recv(1)


@needs_ring
async def test_a_frame_that_a_ring_cut_short_is_finished_before_anything_else(
    fanout: RingFanout,
) -> None:
    async with streams() as found:
        offer = fanout.gather([stream for stream, _ in found])
        assert list(offer(LARGE)) == []  # begun everywhere, and whole nowhere
        assert all(stream.blocked for stream, _ in found)
        assert dict(offer(FRAME)) == dict.fromkeys(range(COUNT))

        async def read(reader: socket.socket) -> bytes:
            def receive() -> bytes:
                data = b""
                while len(data) < len(LARGE) + len(FRAME):
                    data += reader.recv(1_000_000)
                return data

            return await trio.to_thread.run_sync(receive)

        async with trio.open_nursery() as nursery:
            for stream, _ in found[:3]:
                nursery.start_soon(stream.send_all, FRAME)
            for _, reader in found[:3]:
                assert await read(reader) == LARGE + FRAME


@needs_ring
async def test_what_is_too_long_for_the_ring_goes_out_all_the_same() -> None:
    with Ring(64) as ring:
        frame = b"x" * (ring.longest + 1)
        async with streams(limits.RING_FRAMES) as found:
            offer = RingFanout(ring).gather([stream for stream, _ in found])
            assert list(offer(frame)) == []
            assert all(len(reader.recv(len(frame))) > 0 for _, reader in found)


@needs_ring
async def test_a_stream_that_another_write_has_filled_is_passed_over(fanout: RingFanout) -> None:
    async with streams() as found:
        offer = fanout.gather([stream for stream, _ in found])
        for _ in range(2):  # all of them are known to be writable
            assert list(offer(FRAME)) == []
        found[4][0].send_nowait(LARGE)  # a part of it
        assert dict(offer(FRAME)) == {4: None}
        assert found[4][1].recv(2 * len(FRAME)) == 2 * FRAME
        assert FRAME not in found[4][1].recv(len(LARGE))


@needs_ring
async def test_nothing_follows_a_close_frame(fanout: RingFanout) -> None:
    async with streams() as found:
        offer = fanout.gather([stream for stream, _ in found])
        await found[0][0].send_last(close_frame(1000))
        missed = dict(offer(FRAME))
        assert missed.keys() == {0}
        assert isinstance(missed[0], trio.BrokenResourceError)
        assert found[0][1].recv(100) == close_frame(1000)


@needs_ring
async def test_a_channel_among_sockets_is_served_as_well(fanout: RingFanout) -> None:
    send, receive = trio.open_memory_channel[bytes](1)
    async with streams() as found:
        offer = fanout.gather([*(stream for stream, _ in found), send])
        assert list(offer(FRAME)) == []
        assert receive.receive_nowait() == FRAME
        assert [reader.recv(100) for _, reader in found] == [FRAME] * COUNT


def test_it_can_be_switched_off() -> None:
    with open_fanout("off") as fanout:
        assert fanout is ONE_BY_ONE


def test_a_system_that_forbids_it_is_served_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticker.transport.io_uring.platform.machine", lambda: "vax")
    with open_fanout("auto") as fanout:
        assert fanout is ONE_BY_ONE
