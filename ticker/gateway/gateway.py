"""The gateway: what becomes of an accepted connection.

A request for the stream goes to `Streams`, from handshake to close; everything else goes to
Hypercorn and on to Quart. Whatever one connection does or suffers ends with that connection.
"""

from __future__ import annotations

import structlog
import trio
from hypercorn.trio.worker_context import WorkerContext

from ticker import limits
from ticker.engine import Engine
from ticker.gateway import handshake
from ticker.gateway.containment import Contained
from ticker.gateway.frame_stream import FrameStream
from ticker.gateway.head import Head, read_head
from ticker.gateway.http_stream import HttpStream
from ticker.gateway.hypercorn import TickerTCPServer, tls_handshake
from ticker.gateway.protocol import PATH
from ticker.gateway.secure_stream import SecureFrameStream
from ticker.gateway.streams import Streams, refuse

log = structlog.get_logger()

#: A connection as the listener accepted it.
Accepted = FrameStream | trio.SSLStream[trio.SocketStream]


class StreamGateway:
    """Serves connections for one engine.

    Attributes:
        streams: those connections that became streams.
        drained: set once a drain is over and every connection is closed or cut off.
    """

    def __init__(self, engine: Engine) -> None:
        self.streams = Streams(engine)
        self.drained = trio.Event()
        self._engine = engine
        self._waiting: dict[trio.CancelScope, None] = {}
        self._open: dict[trio.CancelScope, None] = {}
        self._closed = trio.lowlevel.ParkingLot()

    @property
    def connections(self) -> int:
        """How many connections are open, streams included."""
        return len(self._open)

    def crowded(self) -> bool:
        """Say whether many connections are open that have not asked for anything yet."""
        return len(self._waiting) >= limits.HALF_OPEN_CROWD

    async def drain_with(self, context: WorkerContext) -> None:
        """Wait for Hypercorn to shut down, then drain, then cut off whoever is left."""
        await context.terminated.wait()
        for scope in tuple(self._waiting):
            scope.cancel()
        graceful = self._engine.settings.graceful_timeout
        patience = max(0.0, graceful - limits.SHUTDOWN_MARGIN_SECONDS)
        with trio.move_on_after(patience):
            await self._engine.drain(patience)
            # Requests that were under way are still answered.
            while self._open:
                await self._closed.park()
        for scope in tuple(self._open):
            scope.cancel()
        self.drained.set()

    async def serve(self, connection: TickerTCPServer) -> None:
        """Serve one accepted connection to its end; raises nothing but cancellation.

        Who called closes what was accepted.
        """
        accepted: Accepted = connection.stream
        with Contained(self._engine.metrics), trio.CancelScope() as scope:
            self._open[scope] = self._waiting[scope] = None
            try:
                head = await self._first_head(accepted, scope)
                if head is not None and not _takes(head):
                    accepted, head = await _serve_http(connection, accepted, head)
                if head is None:
                    return
                if isinstance(accepted, FrameStream):
                    accepted.tune()
                    await self.streams.serve(accepted, head)
                else:
                    await self._serve_securely(SecureFrameStream(accepted), head)
            finally:
                self._waiting.pop(scope, None)
                del self._open[scope]
                self._closed.unpark_all()

    async def _first_head(self, accepted: Accepted, scope: trio.CancelScope) -> Head | None:
        """Read the head of a connection's first request; None where none is to be answered."""
        if len(self._open) - self.streams.open > limits.HTTP_CONNECTIONS:
            if isinstance(accepted, FrameStream):
                await refuse(accepted, handshake.TOO_MANY_CONNECTIONS)
            return None
        if not isinstance(accepted, FrameStream):
            if not await tls_handshake(accepted, limits.TLS_SECONDS):
                return None
            if accepted.selected_alpn_protocol() == "h2":
                log.error(
                    "http2_refused",
                    hint="serve TLS with alpn_protocols = ['http/1.1']: browsers would send "
                    "WebSockets over HTTP/2, past the stream's gateway",
                )
                return None
        head = await read_head(accepted, scope, idle_seconds=limits.HEAD_SECONDS)
        # From here on it is no half-open handshake any more, which a drain would end at once.
        del self._waiting[scope]
        return head

    async def _serve_securely(self, stream: SecureFrameStream, head: Head) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write_frames)
            await self.streams.serve(stream, head)
            nursery.cancel_scope.cancel()


async def _serve_http(
    connection: TickerTCPServer, accepted: Accepted, head: Head
) -> tuple[Accepted, Head | None]:
    """Let Hypercorn answer what is plain HTTP.

    Returns:
        The connection as it goes on, and the head of a request for a stream, once one comes;
        None at the connection's end.
    """
    if not isinstance(accepted, FrameStream):
        return accepted, await connection.serve_http(HttpStream(accepted, head, _takes))
    plain = accepted.detach()
    try:
        upgrade = await connection.serve_http(HttpStream(plain, head, _takes))
        return (FrameStream.over(plain) if upgrade is not None else accepted), upgrade
    finally:
        plain.socket.close()


def _takes(head: Head) -> bool:
    """Whether a request is ours to answer rather than Hypercorn's."""
    if head.path == PATH or head.upgrades_to("websocket") or head.version >= "2":
        return True
    return bool(head.method) and not head.target_readable
