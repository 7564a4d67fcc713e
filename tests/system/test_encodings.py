"""MessagePack and compression from outside the process."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import websockets
import websockets.sync.client

from tests.support.frames import BINARY, TEXT, client_frame
from tests.support.mirror import Mirror
from tests.support.raw import RawStream, handshake, read_response
from tests.support.server import Server, started

SYMBOLS = ",".join(f"S{number}-USD={number + 1}" for number in range(30))
DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("encodings") / "data"
    with started("serve", data, env={"TICKER_SYMBOLS": SYMBOLS}) as running:
        yield running


@asynccontextmanager
async def opened(server: Server, headers: dict[str, str]) -> AsyncIterator[RawStream]:
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        await stream.send_all(handshake(server, server.token(), headers=headers))
        response, rest = await read_response(stream)
        assert response.status == 101
        yield RawStream(stream, response, rest)


async def test_messagepack_goes_both_ways(server: Server) -> None:
    headers = {"Sec-WebSocket-Protocol": "ticker.v1.msgpack, ticker.v1"}
    async with opened(server, headers) as stream:
        assert stream.response.headers["sec-websocket-protocol"] == "ticker.v1.msgpack"
        frame = await stream.frame()
        assert frame is not None
        assert (frame.opcode, frame.message["type"]) == (BINARY, "welcome")
        snapshot = await stream.until("ticker")
        assert all(isinstance(entry["price"], str) for entry in snapshot["data"])
        ping = msgspec.msgpack.encode({"type": "ping", "id": "p"})
        await stream.stream.send_all(client_frame(BINARY, ping))
        assert (await stream.until("pong"))["id"] == "p"
        await stream.stream.send_all(client_frame(TEXT, '{"type":"ping"}'))
        assert (await stream.until("error"))["code"] == "bad_message"
        asked = msgspec.msgpack.encode({"type": "subscribe", "mode": "changes"})
        await stream.stream.send_all(client_frame(BINARY, asked))
        assert (await stream.until("subscribed"))["mode"] == "changes"
        mirror = Mirror()
        for _ in range(20):
            mirror.apply(await stream.until("ticker"))


async def test_a_compressed_stream_says_the_same_in_fewer_bytes(server: Server) -> None:
    async with opened(server, DEFLATE) as stream, opened(server, {}) as plain:
        assert stream.response.headers["sec-websocket-extensions"] == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        )
        welcome, snapshot = await stream.frame(), await stream.frame()
        assert welcome is not None
        assert snapshot is not None
        assert snapshot.compressed
        said = {}
        for _ in range(30):
            frame = await stream.frame()
            assert frame is not None
            said[frame.message["seq"]] = (frame.message, len(frame.payload))
        common = 0
        await plain.until("ticker")
        for _ in range(30):
            frame = await plain.frame()
            assert frame is not None
            assert not frame.compressed
            if frame.message["seq"] in said:
                message, size = said[frame.message["seq"]]
                common += message == frame.message
                assert size < 0.4 * len(frame.payload)
        assert common > 5


def test_a_client_library_that_compresses_is_understood(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token()}"}
    with websockets.sync.client.connect(server.ws_url, additional_headers=headers) as websocket:
        assert websocket.response is not None
        assert "permessage-deflate" in websocket.response.headers["Sec-WebSocket-Extensions"]
        for _ in range(10):
            json.loads(websocket.recv())
        request = json.dumps({"type": "ping", "id": "x" * 70})
        websocket.send(request)
        while True:
            message = json.loads(websocket.recv())
            if message["type"] == "pong":
                break


async def test_a_bomb_is_closed_with_1009(server: Server) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(b" " * 100_000_000) + compressor.flush(zlib.Z_SYNC_FLUSH)
    async with opened(server, DEFLATE) as stream:
        with trio.move_on_after(5):
            await stream.stream.send_all(client_frame(TEXT, bomb[:-4], rsv=0x40)[:60_000])
        assert await stream.closed() == 1009


async def test_compression_may_be_switched_off(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("off") / "data"
    with started("serve", data, env={"TICKER_COMPRESSION": "off"}) as running:
        async with opened(running, DEFLATE) as stream:
            assert "sec-websocket-extensions" not in stream.response.headers
