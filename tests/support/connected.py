"""A connection of the server's and its client, plain or over TLS, with small buffers between."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final, Literal

import trio
import trustme

from tests.support.raw import RESET
from ticker.transport.socket_stream import SocketStream
from ticker.transport.tls_stream import TlsStream

Kind = Literal["plain", "tls", "tls12"]
KINDS: Final[tuple[Kind, ...]] = ("plain", "tls", "tls12")
SMALL_BUFFER: Final = 2048


@cache
def contexts(newest: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make the server's and the client's context."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.maximum_version = newest
    server.set_alpn_protocols(["http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    client.set_alpn_protocols(["http/1.1"])
    authority.configure_trust(client)
    return server, client


class Client:
    """The client's end."""

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.transport = (
            stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        )

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what came next; empty at an end that was announced."""
        return bytes(await self.stream.receive_some(max_bytes))

    async def read_to_the_end(self) -> bytes:
        """Return everything up to an end that was announced."""
        data = b""
        with trio.fail_after(10):
            while more := await self.receive_some():
                data += more
        return data

    async def send_all(self, data: bytes) -> None:
        """Send some bytes."""
        await self.stream.send_all(data)

    async def send_eof(self) -> None:
        """Hang up one side, without a word of TLS."""
        await self.transport.send_eof()

    async def aclose(self) -> None:
        """Close."""
        await self.stream.aclose()

    def reset(self) -> None:
        """Vanish."""
        self.transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.socket.close()


@asynccontextmanager
async def pair(kind: Kind) -> AsyncIterator[tuple[SocketStream, Client]]:
    """Connect a stream, tuned for frames, with a client that has a small receive buffer."""
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.socket.socket() as connecting:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        await connecting.connect(listener.getsockname())
        accepted, _address = listener.accept()
        accepted.settimeout(0)
        plain = trio.SocketStream(connecting)
        stream, client = over(kind, accepted, plain)
        try:
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.handshake)
                    if isinstance(client.stream, trio.SSLStream):
                        await client.stream.do_handshake()
            stream.tune()
            yield stream, client
        finally:
            stream.abort()


def over(
    kind: Kind, accepted: socket.socket, plain: trio.SocketStream
) -> tuple[SocketStream, Client]:
    """Make both ends of a connection that was accepted; over TLS the handshake is to come."""
    if kind == "plain":
        return SocketStream(accepted), Client(plain)
    newest = ssl.TLSVersion.TLSv1_2 if kind == "tls12" else ssl.TLSVersion.TLSv1_3
    server_context, client_context = contexts(newest)
    tls = trio.SSLStream(plain, client_context, server_hostname="127.0.0.1")
    return TlsStream(accepted, server_context), Client(tls)
