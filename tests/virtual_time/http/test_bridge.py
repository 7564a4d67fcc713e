"""A request of HTTP waits for what is to answer it; nothing else does."""

from __future__ import annotations

import socket

import trio
import trio.testing

from ticker.http.bridge import HttpBridge
from ticker.http.gate import Gate
from ticker.http.head import Head, read_head
from ticker.http.http_stream import HttpStream
from ticker.metrics import Metrics
from ticker.rate_limit import Rate
from ticker.transport.socket_stream import SocketStream

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: ticker.example\r\n\r\n"


class Server:
    """Answers one request, and notes what it was."""

    def __init__(self) -> None:
        self.asked = b""
        self.enough = trio.Event()
        self.idle_ended = False

    async def serve(self, stream: HttpStream) -> None:
        self.asked += bytes(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def wait_enough(self) -> None:
        await self.enough.wait()

    async def end_idle(self) -> None:
        self.idle_ended = True


def make_bridge() -> HttpBridge:
    gate = Gate(Rate(0, 1.0), Metrics(), trusted_hops=0, allowed_origins=())
    return HttpBridge("", gate)


async def read(stream: SocketStream) -> Head:
    with trio.CancelScope() as scope:
        head = await read_head(stream, scope)
        assert head is not None
        return head
    raise AssertionError


async def test_a_request_that_comes_before_the_server_is_there_is_answered_once_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    bridge, server = make_bridge(), Server()
    raw, peer = socket.socketpair()
    raw.settimeout(0)
    with peer:
        peer.sendall(REQUEST)
        stream = SocketStream(raw)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.serve, stream, await read(stream))
            await trio.testing.wait_all_tasks_blocked()
            assert server.asked == b""
            bridge.begin(server)
        assert server.asked == REQUEST
        assert peer.recv(100).startswith(b"HTTP/1.1 204")
        stream.close()


async def test_the_end_of_a_service_that_has_not_loaded_its_server_waits_for_nothing() -> None:
    bridge = make_bridge()
    with trio.fail_after(1):
        await bridge.end_idle()
    with trio.move_on_after(0) as scope:
        await bridge.wait_enough()
    assert scope.cancelled_caught


async def test_the_bound_on_requests_is_the_servers() -> None:
    bridge, server = make_bridge(), Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.wait_enough)
        bridge.begin(server)
        await trio.testing.wait_all_tasks_blocked()
        server.enough.set()
    await bridge.end_idle()
    assert server.idle_ended
