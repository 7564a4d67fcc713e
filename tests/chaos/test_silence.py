"""Readers that stall and peers that fall silent are found in time, at no price to the others."""

from __future__ import annotations

import select
from pathlib import Path

import pytest
import trio

from tests.attack.witness import witnessed
from tests.support.frames import CLOSE, FrameParser
from tests.support.raw import connect, handshake, opened, read_response
from tests.support.server import Server, started
from tests.support.waiting import eventually
from ticker import limits
from ticker.protocol.close_codes import CloseCode

STALLED = 200
#: The smallest window that the kernel gives.
WINDOW = 2048
#: What the process may grow by for each stalled reader: its session, and some Python slack.
BYTES_EACH = 64 * 1024
SLACK_SECONDS = 1.5


async def test_stalled_readers_are_cut_off_and_cost_little(tmp_path: Path) -> None:
    lifted = {"TICKER_MAX_STREAMS_PER_TOKEN": "0"}
    with started("serve", tmp_path / "data", env=lifted) as server:
        async with witnessed(server):
            before = server.metrics()["process_resident_memory_bytes"]
            readers = [await _stalled(server) for _ in range(STALLED)]
            await eventually(
                lambda: server.metrics()["ticker_streams_behind"] >= STALLED * 0.9,
                "all to fall behind",
                seconds=30,
            )
            behind_at = trio.current_time()
            used = server.metrics()["process_resident_memory_bytes"] - before
            assert used < STALLED * BYTES_EACH, f"{used / STALLED:.0f} bytes for each"
            await eventually(
                lambda: all(_was_reset(reader) for reader in readers), "resets", seconds=20
            )
            assert trio.current_time() - behind_at < limits.STALL_SECONDS + SLACK_SECONDS
            assert server.metrics()["ticker_streams_stalled_total"] >= STALLED
            for reader in readers:
                await trio.aclose_forcefully(reader)
        server.wait_metric("ticker_streams_open", 0)


async def _stalled(server: Server) -> trio.SocketStream:
    """Open a stream and never read after the handshake."""
    stream = await connect(server, receive_buffer=WINDOW)
    await stream.send_all(handshake(server, server.token()))
    await stream.receive_some(200)
    return stream


def _was_reset(stream: trio.SocketStream) -> bool:
    """Ask the kernel without reading, which would open the window again."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


@pytest.mark.slow
async def test_a_peer_that_answers_nothing_is_found_within_25_seconds(server: Server) -> None:
    async with await connect(server) as stream:
        await stream.send_all(handshake(server, server.token()))
        response, rest = await read_response(stream)
        assert response.status == 101
        began = trio.current_time()
        parser = FrameParser()
        frames = parser.feed(rest)
        with trio.fail_after(limits.SILENT_SECONDS + SLACK_SECONDS):
            while not frames or frames[-1].opcode != CLOSE:
                data = await stream.receive_some(65_536)
                assert data, "the server hung up without a close frame"
                frames = parser.feed(data) or frames
        assert frames[-1].code == CloseCode.SILENT
        assert trio.current_time() - began > limits.PING_AFTER_SECONDS
    async with opened(server) as answering:
        with trio.move_on_after(limits.SILENT_SECONDS + 5):
            while True:
                # This one answers pings and nothing else: it stays.
                assert await answering.frame() is not None
