"""Ways to reach a stand-in: in memory, or over TLS on loopback as the program does."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import attrs
import trio
import trustme
from trio.testing import memory_stream_pair
from trio_websocket import wrap_client_stream

from tests.exchange_standin.standin import StandIn
from ticker.market.exchanges.connection import FeedError, Link

T = TypeVar("T")

#: How long a test may take over what it asks of a stand-in in another thread.
PATIENCE_SECONDS = 30


def in_memory(
    exchange: StandIn, nursery: trio.Nursery, refused: Callable[[], bool] = lambda: False
) -> Callable[[str], AbstractAsyncContextManager[Link]]:
    """Return what a feed connects with to reach a stand-in without a socket."""

    @asynccontextmanager
    async def connect(url: str) -> AsyncIterator[Link]:
        if refused():
            raise FeedError("exchange: refused")
        ours, theirs = memory_stream_pair()
        nursery.start_soon(exchange.serve, theirs)
        async with trio.open_nursery() as reader:
            path = "/" + url.partition("://")[2].partition("/")[2]
            ws = await wrap_client_stream(reader, cast("trio.SocketStream", ours), "exchange", path)
            try:
                yield Link("exchange", ws)
            finally:
                await trio.aclose_forcefully(ours)
                reader.cancel_scope.cancel()

    return connect


@attrs.frozen
class TlsExchange:
    """A stand-in that listens: its address, and the file that makes its certificate trusted."""

    standin: StandIn
    url: str
    authority: Path
    sockets: list[trio.SocketStream]

    async def reset(self) -> None:
        """End every connection with a TCP reset."""
        for stream in self.sockets:
            linger = struct.pack("ii", 1, 0)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def served_over_tls(
    standin: StandIn, directory: Path, path: str = "/"
) -> AsyncIterator[TlsExchange]:
    """Serve a stand-in over TLS on a free port of loopback, by an authority of its own."""
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server_tls)
    pem = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    sockets: list[trio.SocketStream] = []

    async def serve(stream: trio.SocketStream) -> None:
        sockets.append(stream)
        tls = trio.SSLStream(stream, server_tls, server_side=True)
        try:
            await standin.serve(tls)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            pass  # a client may go in any way, and may not trust us
        finally:
            sockets.remove(stream)
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, serve, 0, host="127.0.0.1", handler_nursery=nursery)
        )
        port = listeners[0].socket.getsockname()[1]
        yield TlsExchange(standin, f"wss://localhost:{port}{path}", pem, sockets)
        nursery.cancel_scope.cancel()


@attrs.frozen
class DistantExchange:
    """A listening stand-in that runs in another thread."""

    exchange: TlsExchange
    _token: trio.lowlevel.TrioToken

    def run(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Run an async method of the stand-in over there, and wait for it."""

        async def bounded() -> T:
            with trio.fail_after(PATIENCE_SECONDS):
                return await function(*args)

        return trio.from_thread.run(bounded, trio_token=self._token)

    def environment(self, name: str) -> dict[str, str]:
        """Return the settings with which the program finds this exchange and trusts it."""
        return {
            f"TICKER_{name.upper()}_URL": self.exchange.url,
            "SSL_CERT_FILE": str(self.exchange.authority),
        }


@contextmanager
def in_a_thread(standin: StandIn, directory: Path, path: str = "/") -> Iterator[DistantExchange]:
    """Serve a stand-in over TLS from a thread of its own, for tests that wait by blocking."""
    directory.mkdir(exist_ok=True)
    ready: queue.SimpleQueue[tuple[DistantExchange, trio.Event]] = queue.SimpleQueue()

    async def serve() -> None:
        async with served_over_tls(standin, directory, path) as exchange:
            done = trio.Event()
            ready.put((DistantExchange(exchange, trio.lowlevel.current_trio_token()), done))
            await done.wait()

    thread = threading.Thread(target=trio.run, args=[serve])
    thread.start()
    distant, done = ready.get(timeout=PATIENCE_SECONDS)
    try:
        yield distant
    finally:
        trio.from_thread.run_sync(done.set, trio_token=distant._token)
        thread.join(PATIENCE_SECONDS)
