"""Clean ends: by Ctrl-C, SIGTERM and a worker's reload, whatever the clients do meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio_websocket
import websockets.exceptions
import websockets.sync.client

from tests.support.libraries import trio_client
from tests.support.raw import RawStream, ask, connect, handshake, opened, read_response
from tests.support.server import LAUNCHES, Launch, Server, started
from tests.support.waiting import eventually, wait_until
from ticker import limits

#: The default of TICKER_GRACEFUL_TIMEOUT and of Hypercorn's own, and what the process may take
#: beyond it.
GRACEFUL = 3.0
MARGIN = 1.0
SIGNALS = [signal.SIGTERM, signal.SIGINT]

launches = pytest.mark.parametrize("launch", LAUNCHES)


async def ends_cleanly(server: Server, number: signal.Signals, within: float) -> None:
    """Send a signal, and check that the program ends with 0 within so many seconds."""
    server.send_signal(number)
    began = time.monotonic()
    code = await server.wait_async(20)
    took = time.monotonic() - began
    assert code == 0, server.output
    assert took <= within, server.output
    for event in ("connection_crashed", "session_crashed", "engine_failed", "request_crashed"):
        assert server.events(event) == [], server.output
    assert "Traceback" not in server.output, server.output


async def is_told(stream: RawStream) -> None:
    """Check that a subscriber is told and sees the right close."""
    closing = await stream.until("closing")
    assert closing["code"] == 1012
    assert 0 <= closing["retry_after_ms"] < limits.RECONNECT_SPREAD_MS
    frame = await stream.frame()
    assert frame is not None
    assert frame.code == 1012
    assert frame.payload[2:] == b"the server restarts"


@launches
@pytest.mark.parametrize("number", SIGNALS)
async def test_every_subscriber_is_told_and_the_process_is_gone(
    tmp_path: Path, launch: Launch, number: signal.Signals
) -> None:
    told = []
    with started(launch, tmp_path / "data") as server:
        async with trio.open_nursery() as nursery, AsyncExitStack() as streams:

            async def subscriber(stream: RawStream) -> None:
                await is_told(stream)
                await stream.stream.aclose()
                told.append(stream)

            for _ in range(20):
                stream = await streams.enter_async_context(opened(server))
                await stream.until("ticker")
                nursery.start_soon(subscriber, stream)
            # With answered closes, an end takes no patience at all.
            await ends_cleanly(server, number, within=GRACEFUL)
        assert len(told) == 20
        assert server.events("draining")[0]["streams"] == 20


@launches
async def test_an_idle_server_is_gone_at_once(tmp_path: Path, launch: Launch) -> None:
    with started(launch, tmp_path / "data") as server:
        await ends_cleanly(server, signal.SIGTERM, within=1.5)


@asynccontextmanager
async def difficult_clients(server: Server) -> AsyncIterator[None]:
    """Keep every kind of client that does not help: each would hold up a naive server."""
    async with AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(opened(server, receive_buffer=2048))
        for size in (0, 1, 60):  # handshakes that never end
            stream = await held.enter_async_context(await connect(server))
            await stream.send_all(handshake(server, server.token())[:size])
        for request in (
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",  # kept alive
            b"POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",  # dripped
        ):
            stream = await held.enter_async_context(await connect(server))
            await stream.send_all(request)
        await eventually(
            lambda: server.metrics()["ticker_streams_behind"] == 3, "the readers to fall behind"
        )
        yield


@launches
async def test_difficult_clients_hold_up_nothing(tmp_path: Path, launch: Launch) -> None:
    with started(launch, tmp_path / "data") as server:
        async with (
            difficult_clients(server),
            opened(server) as polite,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(is_told, polite)
            await ends_cleanly(server, signal.SIGTERM, within=GRACEFUL + MARGIN)


async def test_a_shorter_patience_is_kept(tmp_path: Path) -> None:
    env = {"TICKER_GRACEFUL_TIMEOUT": "500ms"}
    with started("serve", tmp_path / "data", env=env) as server:
        async with difficult_clients(server):
            await ends_cleanly(server, signal.SIGTERM, within=0.5 + MARGIN)


async def test_a_request_under_way_is_answered(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        async with await connect(server) as stream, trio.open_nursery() as nursery:
            # A refused key is answered after a quarter of a second on purpose.
            body = json.dumps({"api_key": "nonsense"}).encode()
            head = f"POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send_all(head.encode() + body)
            await eventually(lambda: server.events("token_refused"), "the request to arrive")
            # Well before the patience is over, since nothing else is open.
            nursery.start_soon(ends_cleanly, server, signal.SIGTERM, GRACEFUL / 2 + MARGIN)
            response, _ = await read_response(stream)
            assert (response.status, response.error) == (401, "invalid API key")


@launches
async def test_a_client_that_comes_late_is_told_to_come_back(
    tmp_path: Path, launch: Launch
) -> None:
    with started(launch, tmp_path / "data") as server:
        token = server.token()
        async with opened(server, receive_buffer=2048):
            await eventually(
                lambda: server.metrics()["ticker_streams_behind"] == 1, "the reader to fall behind"
            )
            server.send_signal(signal.SIGTERM)
            await eventually(lambda: server.events("draining"), "the drain")
            idle = await connect(server)
            for request in (handshake(server, token), b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"):
                response = await ask(server, request)
                assert (response.status, response.error) == (503, "the server restarts")
                assert int(response.headers["retry-after"]) > 0
            assert await server.wait_async(10) == 0
            await idle.aclose()
        for event in ("connection_crashed", "session_crashed", "engine_failed"):
            assert server.events(event) == [], server.output


@launches
async def test_a_longer_patience_is_kept(tmp_path: Path, launch: Launch) -> None:
    # Hypercorn's own default is 3 s.
    env = {"TICKER_GRACEFUL_TIMEOUT": "5s"}
    with started(launch, tmp_path / "data", env=env) as server:
        async with await connect(server) as stream:
            # A body that drips for longer than that is a request under way.
            head = b"POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 22\r\n\r\n"
            await stream.send_all(head)
            await eventually(
                lambda: server.metrics()["ticker_connections_open"] == 2, "the request"
            )
            server.send_signal(signal.SIGTERM)
            await eventually(lambda: server.events("draining"), "the drain")
            await trio.sleep(GRACEFUL + 0.5)
            await stream.send_all(b'{"api_key":"nonsense"}')
            response, _ = await read_response(stream)
            assert (response.status, response.error) == (401, "invalid API key")
        assert await server.wait_async(10) == 0


def test_a_worker_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    with started("hypercorn", tmp_path / "data") as server:
        server.process.kill()
        server.process.wait(10)
        wait_until(lambda: not Path(f"/proc/{server.pid}").exists(), "the end of the worker")
        server.wait_event("draining")


@launches
async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, launch: Launch) -> None:
    env = {"TICKER_GRACEFUL_TIMEOUT": "30s"}
    with started(launch, tmp_path / "data", env=env) as server:
        async with opened(server, receive_buffer=2048):
            await eventually(
                lambda: server.metrics()["ticker_streams_behind"] == 1, "the reader to fall behind"
            )
            os.kill(server.pid, signal.SIGTERM)
            await eventually(lambda: server.events("draining"), "the drain")
            os.kill(server.pid, signal.SIGTERM)
            began = time.monotonic()
            await server.wait_async(10)
            assert time.monotonic() - began < 2


async def test_a_workers_reload_says_closing_and_the_next_worker_serves(tmp_path: Path) -> None:
    with started("hypercorn", tmp_path / "data") as server:
        token = server.token()
        async with opened(server, token) as stream:
            await stream.until("ticker")
            server.send_signal(signal.SIGHUP)
            await is_told(stream)

        def served() -> bool:
            try:
                return server.request("GET", "/readyz")[0] == 200
            except OSError:
                return False

        await eventually(served, "the next worker", seconds=25)
        async with opened(server, token) as stream:
            await stream.until("ticker")
        await ends_cleanly(server, signal.SIGTERM, within=GRACEFUL + MARGIN)


async def test_trio_websocket_sees_the_close_code(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        messages = []
        async with trio_client(server) as websocket:
            await websocket.get_message()
            server.send_signal(signal.SIGTERM)
            with suppress(trio_websocket.ConnectionClosed):
                while True:
                    messages.append(json.loads(await websocket.get_message()))
            assert websocket.closed is not None
            assert websocket.closed.code == 1012
        assert messages[-1]["type"] == "closing"
        assert await server.wait_async() == 0


def test_websockets_sees_the_close_code(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        headers = {"Authorization": f"Bearer {server.token()}"}
        messages = []
        with websockets.sync.client.connect(server.ws_url, additional_headers=headers) as websocket:
            messages.append(websocket.recv(5))
            server.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
                messages.extend(websocket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        assert json.loads(messages[-1])["type"] == "closing"
        assert server.wait() == 0
