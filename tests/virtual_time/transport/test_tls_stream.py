"""The stream over TLS: what is given first goes first, and nothing follows a goodbye."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

from typing import cast

import pytest
import trio
from trio.testing import MockClock

from ticker import limits
from ticker.encodings.websocket import close_frame
from ticker.protocol.close_codes import CloseCode
from ticker.transport.tls_stream import TlsStream

GOODBYE = close_frame(CloseCode.RESTART)


class Transport:
    """A TLS connection on which everything takes a second."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.stuck = False
        self.closed = False
        self.transport_stream = self
        self.socket = self

    async def send_all(self, data: bytes) -> None:
        await trio.sleep(1)
        if self.stuck:
            await trio.sleep_forever()
        self.sent.append(data)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.close()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def stream(transport: Transport) -> TlsStream:
    return TlsStream(cast("trio.SSLStream[trio.SocketStream]", transport))


async def test_a_frame_goes_before_what_is_said_after_it(
    autojump_clock: MockClock, transport: Transport, stream: TlsStream
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write_frames)
        await trio.testing.wait_all_tasks_blocked()
        stream.send_nowait(b"tick")
        # Before the writer, which was woken, has had its turn.
        await stream.send_all(b"unsubscribed")
        stream.send_nowait(b"next")
        await stream.wait_ready()
        nursery.cancel_scope.cancel()
    assert transport.sent == [b"tick", b"unsubscribed", b"next"]
    assert not transport.closed


async def test_there_is_one_place(transport: Transport, stream: TlsStream) -> None:
    stream.send_nowait(b"tick")
    with pytest.raises(trio.WouldBlock):
        stream.send_nowait(b"tock")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write_frames)
        await trio.sleep(0.5)
        # It is being sent, and not yet sent.
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait(b"tock")
        await stream.wait_ready()
        stream.send_nowait(b"tock")
        await stream.wait_ready()
        nursery.cancel_scope.cancel()
    assert transport.sent == [b"tick", b"tock"]


async def test_a_tick_during_the_goodbye_neither_follows_it_nor_breaks_it(
    autojump_clock: MockClock, transport: Transport, stream: TlsStream
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write_frames)
        nursery.start_soon(stream.send_all, GOODBYE)
        await trio.sleep(0.5)
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait(b"tick")
        with pytest.raises(trio.BrokenResourceError):
            await stream.wait_ready()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"more")
        assert not transport.closed
        await stream.aclose()
        with pytest.raises(trio.BrokenResourceError):
            stream.send_nowait(b"tick")
        nursery.cancel_scope.cancel()
    assert transport.sent == [GOODBYE]


async def test_a_peer_that_takes_nothing_is_cut_off(
    autojump_clock: MockClock, transport: Transport, stream: TlsStream
) -> None:
    transport.stuck = True
    began = trio.current_time()
    stream.send_nowait(b"tick")
    await stream.write_frames()
    assert trio.current_time() - began == pytest.approx(limits.STALL_SECONDS, abs=0.1)
    assert stream.stalled
    assert transport.closed
    with pytest.raises(trio.BrokenResourceError):
        await stream.wait_ready()


async def test_a_write_that_is_cancelled_ends_the_stream(
    autojump_clock: MockClock, transport: Transport, stream: TlsStream
) -> None:
    with trio.move_on_after(0.5):
        await stream.send_all(b"half a record")
    assert transport.closed
    with pytest.raises(trio.BrokenResourceError):
        stream.send_nowait(b"tick")
