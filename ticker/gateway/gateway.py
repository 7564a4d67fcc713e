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
Accepted = trio.SocketStream | trio.SSLStream[trio.SocketStream]


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

        Who called closes what was accepted, unless its socket was taken over.
        """
        accepted: Accepted = connection.stream
        with Contained(self._engine.metrics), trio.CancelScope() as scope:
            self._open[scope] = self._waiting[scope] = None
            try:
                head = await self._serve_http(connection, accepted, scope)
                if head is None:
                    return
                if isinstance(accepted, trio.SocketStream):
                    await self.streams.serve(FrameStream.over(accepted), head)
                else:
                    await self._serve_securely(SecureFrameStream(accepted), head)
            finally:
                self._waiting.pop(scope, None)
                del self._open[scope]
                self._closed.unpark_all()

    async def _serve_securely(self, stream: SecureFrameStream, head: Head) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write_frames)
            await self.streams.serve(stream, head)
            nursery.cancel_scope.cancel()

    async def _serve_http(
        self, connection: TickerTCPServer, accepted: Accepted, scope: trio.CancelScope
    ) -> Head | None:
        """Let Hypercorn answer what is plain HTTP.

        Returns:
            The head of a request for a stream, once one comes; None at the connection's end.
        """
        if len(self._open) - self.streams.open > limits.HTTP_CONNECTIONS:
            if isinstance(accepted, trio.SocketStream):
                await refuse(FrameStream.over(accepted), handshake.TOO_MANY_CONNECTIONS)
            return None
        if not await tls_handshake(connection, limits.TLS_SECONDS):
            return None
        if _speaks_http2(accepted):
            log.error(
                "http2_refused",
                hint="serve TLS with alpn_protocols = ['http/1.1']: browsers would send "
                "WebSockets over HTTP/2, past the stream's gateway",
            )
            return None
        head = await read_head(accepted, scope, idle_seconds=limits.HEAD_SECONDS)
        # From here on it is no half-open handshake any more, which a drain would end at once.
        del self._waiting[scope]
        if head is None or _takes(head):
            return head
        return await connection.serve_http(HttpStream(accepted, head, _takes))


def _takes(head: Head) -> bool:
    """Whether a request is ours to answer rather than Hypercorn's."""
    if head.path == PATH or head.upgrades_to("websocket") or head.version >= "2":
        return True
    return bool(head.method) and not head.target_readable


def _speaks_http2(accepted: Accepted) -> bool:
    return isinstance(accepted, trio.SSLStream) and accepted.selected_alpn_protocol() == "h2"
