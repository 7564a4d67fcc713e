"""The frame stream over real sockets with tiny buffers: whole frames, whatever happens between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.connected import KINDS, SMALL_BUFFER, Kind, pair
from tests.support.frames import CLOSE, FrameParser
from tests.support.rings import needs_ring
from ticker import limits
from ticker.encodings.websocket_frames import close_frame, text_frame
from ticker.protocol.close_codes import CloseCode
from ticker.transport.fanout import RingFanout
from ticker.transport.io_uring import Ring
from ticker.transport.socket_stream import SocketStream

#: More than the kernel ever takes at once here.
LARGE = 400_000


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Over what a connection goes: each behaves alike."""
    chosen: Kind = request.param
    return chosen


def causes(error: BaseException) -> Iterator[BaseException]:
    """Go down to what an error came from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def frame(number: int, size: int) -> bytes:
    return text_frame(json.dumps({"number": number, "pad": "x" * size}).encode())


def numbers(data: bytes, parser: FrameParser) -> list[int]:
    """Return the numbers of the whole frames in some bytes, each of which must be intact."""
    found = []
    for got in parser.feed(data):
        message = got.message
        assert set(message["pad"]) <= {"x"}
        found.append(message["number"])
    return found


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "offer", "offer", "send", "send and cancel", "ready", "read"]),
        st.sampled_from([0, 1, 100, 200, 3000, 20_000, 100_000]),
    ),
    max_size=25,
)


@pytest.mark.parametrize("kind", KINDS)
@given(operations=OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_every_frame_arrives_whole_in_order_and_once(
    kind: Kind, operations: list[tuple[str, int]]
) -> None:
    def offer(stream: SocketStream, data: bytes) -> None:
        stream.send_nowait(data)

    trio.run(_check_operations, operations, offer, kind)


@needs_ring
@given(OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_a_ring_keeps_frames_whole_too(operations: list[tuple[str, int]]) -> None:
    with patch("ticker.limits.RING_FRAMES", 1), Ring(8) as ring:
        fanout = RingFanout(ring)

        def offer(stream: SocketStream, data: bytes) -> None:
            for _place, error in fanout.gather([stream])(data):
                raise error or trio.WouldBlock

        trio.run(_check_operations, operations, offer, "plain")


async def _check_operations(
    operations: list[tuple[str, int]], offer: Callable[[SocketStream, bytes], None], kind: Kind
) -> None:
    offered: list[int] = []
    sent: set[int] = set()
    cancelled: set[int] = set()
    received = b""
    async with pair(kind) as (stream, client):

        async def send(number: int, size: int, task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            await stream.send_all(frame(number, size))
            sent.add(number)

        async with trio.open_nursery() as nursery:
            for number, (operation, size) in enumerate(operations):
                match operation:
                    case "offer":
                        try:
                            offer(stream, frame(number, size))
                        except trio.WouldBlock:
                            continue
                        offered.append(number)
                    case "send":
                        nursery.start_soon(send, number, size, trio.TASK_STATUS_IGNORED)
                        await trio.lowlevel.checkpoint()
                    case "send and cancel":
                        cancelled.add(number)
                        with trio.move_on_after(0.001):
                            await stream.send_all(frame(number, size))
                    case "ready":
                        with trio.move_on_after(0.001):
                            await stream.wait_ready()
                    case "read":
                        with trio.move_on_after(0.001):
                            received += await client.receive_some(size + 1)
            # From here on the client reads everything; nothing may stay behind.
            nursery.start_soon(stream.send_last, close_frame(CloseCode.RESTART))
            with trio.fail_after(10):
                parser = FrameParser()
                while not received.endswith(close_frame(CloseCode.RESTART)):
                    more = await client.receive_some()
                    assert more
                    received += more
    frames = parser.feed(received)
    assert [got.opcode for got in frames].count(CLOSE) == 1
    assert frames[-1].opcode == CLOSE
    found = [got.message for got in frames[:-1]]
    arrived = [message["number"] for message in found]
    assert all(len(message["pad"]) == operations[message["number"]][1] for message in found)
    assert len(set(arrived)) == len(arrived)
    assert [number for number in arrived if number in offered] == offered
    assert set(offered) | sent <= set(arrived) <= set(offered) | sent | cancelled


async def test_what_has_come_already_is_read_without_waiting_and_nothing_is_no_fault() -> None:
    async with pair("plain") as (stream, client):
        assert stream.receive_nowait(100) == b""
        await client.send_all(b"hello")
        await trio.lowlevel.wait_readable(stream.raw)
        assert stream.receive_nowait(4) == b"hell"
        assert stream.receive_nowait(100) == b"o"
        client.reset()
        await trio.lowlevel.wait_readable(stream.raw)
        assert stream.receive_nowait(100) == b""
        stream.close()
        assert stream.receive_nowait(100) == b""


async def test_over_tls_nothing_has_come_before_it_was_decrypted() -> None:
    async with pair("tls") as (stream, client):
        await client.send_all(b"hello")
        await trio.lowlevel.wait_readable(stream.raw)
        assert stream.receive_nowait(100) == b""
        assert await stream.receive_some(100) == b"hello"
        assert stream.receive_nowait(100) == b""


async def test_a_frame_cut_short_is_finished_before_anything_else(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        stream.send_nowait(frame(1, LARGE))
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait(frame(2, 1))
        parser = FrameParser()
        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, frame(3, 1))
            with trio.fail_after(10):
                while seen != [1, 3]:
                    seen += numbers(await client.receive_some(), parser)
        await stream.wait_ready()
        stream.send_nowait(frame(4, 1))
        assert numbers(await client.receive_some(), parser) == [4]


async def test_a_cancelled_send_goes_on_with_what_it_began(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        with trio.move_on_after(0.02) as scope:
            await stream.send_all(frame(1, LARGE))
        assert scope.cancelled_caught
        with pytest.raises(trio.WouldBlock):
            stream.send_nowait(frame(2, 1))
        parser = FrameParser()
        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.wait_ready)
            with trio.fail_after(10):
                while seen != [1]:
                    seen += numbers(await client.receive_some(), parser)


async def test_a_full_socket_holds_no_more_than_its_bound(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        count = 0
        with suppress(trio.WouldBlock):
            while count < 10_000:
                stream.send_nowait(frame(count, 150))
                count += 1
        assert 0 < count * 200 < 2 * limits.SEND_BUFFER_BYTES + 4 * SMALL_BUFFER
        assert numbers(await client.receive_some(), FrameParser())[0] == 0


async def test_who_reads_nothing_is_cut_off_with_a_reset(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_SECONDS", 0.1)
    async with pair(kind) as (stream, client):
        stream.send_nowait(frame(1, LARGE))
        assert not stream.stalled
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await stream.wait_ready()
        assert stream.stalled
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.read_to_the_end()
        assert ConnectionResetError in map(type, causes(caught.value))
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            stream.send_nowait(frame(2, 1))


async def test_a_reader_that_takes_a_little_now_and_then_is_kept(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STALL_SECONDS", 1.0)
    async with pair(kind) as (stream, client), trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, frame(1, 100_000))
        parser, began = FrameParser(), trio.current_time()
        seen: list[int] = []
        while seen != [1]:
            seen += numbers(await client.receive_some(2000), parser)
            await trio.sleep(0.03)
        assert trio.current_time() - began > 1.2


async def test_nothing_follows_the_close_frame(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        await stream.send_last(close_frame(CloseCode.RESTART))
        with pytest.raises(trio.BrokenResourceError):
            stream.send_nowait(frame(1, 1))
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(frame(1, 1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.aclose)
            assert await client.read_to_the_end() == close_frame(CloseCode.RESTART)
            await client.aclose()


async def test_closing_loses_nothing_even_with_unread_bytes(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        await client.send_all(b"unread" * 100)
        await stream.send_all(frame(1, 10))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.aclose)
            assert numbers(await client.read_to_the_end(), FrameParser()) == [1]
            await client.aclose()
        await stream.aclose()


async def test_an_abort_wakes_the_tasks_that_wait(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        stream.send_nowait(frame(1, LARGE))
        woken = []

        async def wait(what: str) -> None:
            with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
                await (stream.wait_ready() if what == "write" else stream.receive_some())
            woken.append(what)

        with trio.fail_after(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, "write")
                nursery.start_soon(wait, "read")
                await trio.testing.wait_all_tasks_blocked()
                stream.abort()
        assert sorted(woken) == ["read", "write"]
        with pytest.raises(trio.BrokenResourceError):
            await client.read_to_the_end()


async def test_a_peer_that_has_gone_is_noticed(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        client.reset()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            stream.send_nowait(frame(1, 1))


async def test_all_that_comes_is_a_sign_of_life(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        began = stream.heard_at
        await client.send_all(b"one two")
        assert await stream.receive_some(4) == b"one "
        assert await stream.receive_some() == b"two"
        assert stream.heard_at > began
        await client.send_eof()
        assert await stream.receive_some() == b""


async def test_the_rest_of_a_frame_that_was_cut_short_is_asked_for(kind: Kind) -> None:
    async with pair(kind) as (stream, client):
        asked = 0

        def on_partial_write() -> None:
            nonlocal asked
            asked += 1

        stream.on_partial_write = on_partial_write
        stream.send_nowait(frame(0, 10))
        assert asked == 0
        stream.send_nowait(frame(1, LARGE))
        assert asked == 1
        parser = FrameParser()
        found: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.wait_ready)
            with trio.fail_after(10):
                while found[-1:] != [1]:
                    found += numbers(await client.receive_some(), parser)
        assert found == [0, 1]


async def test_a_tick_while_the_close_frame_waits_is_no_fault(kind: Kind) -> None:
    async with pair(kind) as (stream, _client):
        stream.send_nowait(frame(0, LARGE))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_last, close_frame(CloseCode.RESTART))
            await trio.testing.wait_all_tasks_blocked()
            # The close frame waits behind the rest of the frame; and then for room of its own.
            with pytest.raises(trio.WouldBlock):
                stream.send_nowait(frame(1, 10))
            stream._rest, stream._finished = close_frame(CloseCode.RESTART), True
            with pytest.raises(trio.WouldBlock):
                stream.send_nowait(frame(1, 10))
            nursery.cancel_scope.cancel()
