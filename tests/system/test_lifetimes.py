"""Clients that leave in every way there is, and leave nothing behind.

The fixtures `server` and `launched` check after each test that the server holds no stream,
session, subscription, task, file descriptor or thread more than before.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from tests.support.frames import CLOSE, TEXT, client_frame
from tests.support.raw import (
    RESET,
    RawStream,
    connect,
    handshake,
    opened,
    read_response,
)
from tests.support.server import Server
from tests.support.waiting import eventually
from ticker import limits

SMALL_BUFFER = 2048


def closed_with(server: Server, code: int) -> float:
    return server.metrics().get(f'ticker_streams_closed_total{{code="{code}"}}', 0)


async def fin(stream: RawStream) -> None:
    await stream.stream.aclose()


async def close(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(CLOSE, (1000).to_bytes(2, "big")))
    assert await stream.closed() == 1000


async def close_and_fin(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(CLOSE, (1001).to_bytes(2, "big")))
    await stream.stream.aclose()


async def reset(stream: RawStream) -> None:
    stream.reset()


async def reset_in_mid_frame(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}')[:9])
    stream.reset()


async def fin_in_mid_frame(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, "x" * 3000)[:1500])
    await stream.stream.aclose()


async def fin_in_mid_message(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, '{"type":', fin=False))
    await stream.stream.aclose()


async def read_to_the_end(stream: RawStream) -> None:
    while await stream.frame() is not None:
        pass


async def half_close(stream: RawStream) -> None:
    await stream.stream.send_eof()
    # No close frame came, so the server owes none (RFC 6455 §7.1.5), and may hang up by a reset.
    with trio.fail_after(5), suppress(trio.BrokenResourceError):
        await read_to_the_end(stream)


async def messages_queued_then_fin(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}') * 30)
    await stream.stream.aclose()


async def messages_queued_then_reset(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}') * 30)
    stream.reset()


async def subscribed_then_reset(stream: RawStream) -> None:
    for symbol in ("BTC-USD", "ETH-USD", "SOL-USD"):
        await stream.send({"type": "subscribe", "symbols": [symbol], "interval_ms": 20})
    await stream.until("subscribed")
    stream.reset()


async def flood_then_reset(stream: RawStream) -> None:
    await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}') * 200)
    stream.reset()


WAYS: list[Callable[[RawStream], Awaitable[None]]] = [
    fin,
    close,
    close_and_fin,
    reset,
    reset_in_mid_frame,
    fin_in_mid_frame,
    fin_in_mid_message,
    half_close,
    messages_queued_then_fin,
    messages_queued_then_reset,
    subscribed_then_reset,
    flood_then_reset,
]


@pytest.mark.parametrize("leave", WAYS)
async def test_a_client_that_leaves_leaves_nothing(
    launched: Server, leave: Callable[[RawStream], Awaitable[None]]
) -> None:
    async with opened(launched) as bystander, trio.open_nursery() as nursery:

        async def come_and_go() -> None:
            async with opened(launched) as stream:
                await stream.until("ticker")
                await leave(stream)

        for _ in range(5):
            nursery.start_soon(come_and_go)
        await eventually(
            lambda: launched.metrics()["ticker_streams_open"] == 1, "the five to be gone", seconds=3
        )
        seqs = [(await bystander.until("ticker"))["seq"] for _ in range(10)]
        assert seqs == sorted(set(seqs))
    assert launched.events("connection_crashed") == []
    assert launched.events("session_crashed") == []


@pytest.mark.parametrize("size", [0, 1, 20, 100])
@pytest.mark.parametrize("way", ["fin", "reset"])
async def test_a_handshake_that_breaks_off_leaves_nothing(
    server: Server, size: int, way: str
) -> None:
    async with await connect(server) as stream:
        await stream.send_all(handshake(server, server.token())[:size])
        if way == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stream.socket.close()
    assert server.events("connection_crashed") == []


async def test_a_client_that_leaves_right_after_its_handshake_leaves_nothing(
    server: Server,
) -> None:
    for _ in range(20):
        stream = await connect(server)
        await stream.send_all(handshake(server, server.token()))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await stream.aclose()
    assert server.events("connection_crashed") == []


async def test_a_client_that_does_not_read_is_cut_off_with_a_reset_and_no_other_suffers(
    server: Server,
) -> None:
    before = closed_with(server, 1006)
    async with opened(server) as quick, opened(server, receive_buffer=SMALL_BUFFER) as stalled:
        await eventually(
            lambda: server.metrics()["ticker_streams_behind"] == 1, "it to fall behind"
        )
        fell_behind = trio.current_time()
        seqs = []
        while closed_with(server, 1006) == before:
            assert trio.current_time() - fell_behind < 2 * limits.STALL_SECONDS
            seqs += [(await quick.until("ticker"))["seq"] for _ in range(50)]
        assert trio.current_time() - fell_behind > 0.8 * limits.STALL_SECONDS
        assert seqs == sorted(set(seqs))
        with pytest.raises(trio.BrokenResourceError) as caught:
            await read_to_the_end(stalled)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
    await eventually(lambda: server.metrics()["ticker_streams_stalled_total"] >= 1, "the count")


async def test_a_client_that_reads_slowly_gets_the_newest_and_not_what_was_missed(
    server: Server,
) -> None:
    async with opened(server, receive_buffer=SMALL_BUFFER) as slow:
        await eventually(
            lambda: server.metrics()["ticker_streams_behind"] == 1, "it to fall behind"
        )
        before = server.metrics()["ticker_ticks_total"]
        await eventually(
            lambda: server.metrics()["ticker_ticks_total"] > before + 150, "a second and a half"
        )
        assert (await slow.message())["type"] == "welcome"
        seqs: list[int] = []
        snapshots: list[int] = []
        with trio.fail_after(10):
            while len(snapshots) < 2:
                tick = await slow.message()
                seqs.append(tick["seq"])
                if tick.get("snapshot"):
                    snapshots.append(tick["seq"])
        # Never anything twice or out of order; one jump, to the snapshot, over what was missed.
        assert seqs == sorted(set(seqs))
        jumps = [(old, new) for old, new in pairwise(seqs) if new - old > 100]
        assert len(jumps) == 1
        assert jumps[0][1] == snapshots[1]
        following = [(await slow.message()) for _ in range(10)]
        assert all("snapshot" not in tick for tick in following)
    await eventually(lambda: server.metrics()["ticker_frames_skipped_total"] > 100, "the count")


async def test_what_is_in_flight_to_a_slow_reader_is_bounded(server: Server) -> None:
    async with opened(server, receive_buffer=SMALL_BUFFER) as stalled:
        await eventually(
            lambda: server.metrics()["ticker_streams_behind"] == 1, "it to fall behind"
        )
        queued = _unsent(server, stalled)
        # SO_SNDBUF, doubled by the kernel, and the frame that went in last.
        assert 0 < queued <= 2 * limits.SEND_BUFFER_BYTES + 4096


def _unsent(server: Server, stream: RawStream) -> int:
    """Return the bytes in the server's send queue to a client, as the kernel tells."""
    port = stream.stream.socket.getsockname()[1]
    local, remote = f":{server.port:04X}", f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1].endswith(local) and fields[2].endswith(remote):
            return int(fields[4].partition(":")[0], 16)
    raise AssertionError("the connection is gone")


async def test_a_client_that_never_answers_the_close_is_let_go_within_two_seconds(
    server: Server,
) -> None:
    async with opened(server) as stream:
        await stream.until("ticker")
        for _ in range(limits.BAD_MESSAGES):
            await stream.send("nonsense")
        began = trio.current_time()
        await eventually(lambda: closed_with(server, 4000) >= 1, "the close")
        await eventually(lambda: server.metrics()["ticker_streams_open"] == 0, "its end")
        assert trio.current_time() - began < 2 * limits.CLOSE_SECONDS + 1.5


async def test_many_come_and_go_at_once(launched: Server) -> None:
    token = launched.token()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:

            async def come_and_go(number: int) -> None:
                async with await connect(launched) as stream:
                    await stream.send_all(handshake(launched, token))
                    response, rest = await read_response(stream)
                    assert response.status == 101
                    visitor = RawStream(stream, response, rest)
                    for _ in range(number % 7):
                        await visitor.frame()
                    if number % 2:
                        visitor.reset()

            for number in range(100):
                nursery.start_soon(come_and_go, number)
    assert launched.events("connection_crashed") == []
    assert launched.events("session_crashed") == []


async def test_an_idle_connection_is_closed(server: Server) -> None:
    async with await connect(server) as stream:
        began = trio.current_time()
        with trio.fail_after(limits.HEAD_SECONDS + 3):
            assert await stream.receive_some(1) == b""
        assert trio.current_time() - began > limits.HEAD_SECONDS - 1


def test_the_reset_option_is_what_the_kernel_takes() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        found = probe.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
    assert struct.unpack("ii", found) == (1, 0)
