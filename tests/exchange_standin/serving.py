"""Ways to reach a stand-in: in memory, or over TLS on loopback as the program does."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import trio
import trustme
from trio.testing import memory_stream_pair

from tests.exchange_standin.standin import StandIn
from ticker.market.exchanges.dial import Dial
from ticker.market.exchanges.proxy import Proxy

T = TypeVar("T")

#: How long a test may take over what it asks of a stand-in in another thread.
PATIENCE_SECONDS = 30


def in_memory(
    exchange: StandIn,
    nursery: trio.Nursery,
    fault: Callable[[str], Exception | None] = lambda _url: None,
) -> Dial:
    """Return what a feed dials with to reach a stand-in without a socket."""

    async def dial(url: str, proxy: Proxy | None) -> trio.abc.Stream:
        del proxy
        await trio.lowlevel.checkpoint()
        if (error := fault(url)) is not None:
            raise error
        ours, theirs = memory_stream_pair()
        nursery.start_soon(exchange.serve, theirs)
        return ours

    return dial


@attrs.define
class ConnectProxy:
    """An HTTP proxy that knows CONNECT; `serve` it with `trio.serve_tcp`.

    Attributes:
        authorization: what it wants in `Proxy-Authorization`, if anything.
        targets: what it was asked to connect to.
    """

    authorization: str | None = None
    targets: list[str] = attrs.field(factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        self.targets.append(target)
        wanted = f"Proxy-Authorization: {self.authorization}"
        if method != "CONNECT" or (self.authorization is not None and wanted not in lines):
            await stream.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        async with await trio.open_tcp_stream(host, int(port)) as beyond:
            await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_copy, stream, beyond)
                    await _copy(beyond, stream)
                    nursery.cancel_scope.cancel()
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # either side may go in any way


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
    while data := await source.receive_some():
        await sink.send_all(data)


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
