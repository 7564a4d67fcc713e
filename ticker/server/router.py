"""The gateway: what becomes of an accepted connection.

A request for the stream goes to `Streams`, from handshake to close; everything else goes to
Hypercorn and on to Quart. Whatever one connection does or suffers ends with that connection.
"""

from __future__ import annotations

import socket
from contextlib import closing
from functools import partial

import structlog
import trio
from hypercorn.trio.worker_context import WorkerContext

from ticker import limits
from ticker.engine import Engine
from ticker.http.bridge import HttpStream
from ticker.http.gate import Gate
from ticker.http.head import Head, read_head
from ticker.http.refusal import Refusal, RefusedError
from ticker.metrics import Metrics
from ticker.protocol.paths import STREAM_PATH
from ticker.server.accept import accept_all
from ticker.server.fault_boundary import FaultBoundary
from ticker.server.worker import TickerTCPServer, tls_handshake
from ticker.streams import handshake
from ticker.streams.admit import Admitted, Connection, Streams, refuse
from ticker.transport.socket_stream import SocketStream
from ticker.transport.tls_stream import TlsStream

log = structlog.get_logger()

#: A connection as the listener accepted it.
Accepted = SocketStream | trio.SSLStream[trio.SocketStream]


class Router:
    """Serves connections for one engine.

    Attributes:
        streams: those connections that became streams.
        graceful_seconds: how long a shutdown may take.
        drained: set once a drain is over and every connection is closed or cut off.
    """

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        gate: Gate,
        metrics: Metrics,
        graceful_seconds: float,
    ) -> None:
        self.streams = streams
        self.graceful_seconds = graceful_seconds
        self.drained = trio.Event()
        self._engine = engine
        self._gate = gate
        self._metrics = metrics
        self._waiting: dict[trio.CancelScope, None] = {}
        self._open: dict[trio.CancelScope, None] = {}
        self._closed = trio.lowlevel.ParkingLot()
        self._listening: list[socket.socket] = []

    @property
    def connections(self) -> int:
        """How many connections are open, streams included."""
        return len(self._open)

    def crowded(self) -> bool:
        """Say whether many connections are open that have not asked for anything yet."""
        return len(self._waiting) >= limits.HALF_OPEN_CROWD

    def listens(self, listening: socket.socket) -> None:
        """Take a second handle of a listening socket, to answer on while a drain lasts."""
        self._listening.append(listening)

    async def drain_with(self, context: WorkerContext) -> None:
        """Wait for Hypercorn to shut down, then drain, then cut off whoever is left.

        Hypercorn no longer listens then. Whoever comes while others still take their leave is
        told to come back, rather than left to wait for nothing.
        """
        try:
            await context.terminated.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._turn_away)
                await self._drain()
                nursery.cancel_scope.cancel()
        finally:
            for each in self._listening:
                each.close()

    async def _drain(self) -> None:
        for scope in tuple(self._waiting):
            scope.cancel()
        patience = max(0.0, self.graceful_seconds - limits.SHUTDOWN_MARGIN_SECONDS)
        with trio.move_on_after(patience):
            await self._engine.drain(patience)
            # Requests that were under way are still answered.
            while self._open:
                await self._closed.park()
        for scope in tuple(self._open):
            scope.cancel()
        self.drained.set()

    async def _turn_away(self) -> None:
        """Answer whoever comes that the server restarts."""

        async def refused(stream: SocketStream) -> None:
            with FaultBoundary(self._metrics), closing(stream), trio.CancelScope() as scope:
                head = await read_head(stream, scope, idle_seconds=limits.HEAD_SECONDS)
                if head is not None:
                    await refuse(stream, handshake.DRAINING)

        def crowded() -> bool:
            return len(nursery.child_tasks) >= limits.HALF_OPEN_CROWD

        async with trio.open_nursery() as nursery:
            for each in self._listening:
                nursery.start_soon(accept_all, each, nursery, refused, crowded)

    async def serve(self, connection: TickerTCPServer) -> None:
        """Serve one accepted connection to its end; raises nothing but cancellation.

        Who called closes what was accepted.
        """
        accepted: Accepted = connection.stream
        with FaultBoundary(self._metrics), trio.CancelScope() as scope:
            self._open[scope] = self._waiting[scope] = None
            try:
                head = await self._first_head(accepted, scope)
                try:
                    if head is not None and not _takes(head):
                        accepted, head = await self._serve_http(connection, accepted, head)
                    if head is None:
                        return
                    stream = _as_stream(accepted)
                    admitted = await self.streams.admit(stream, head)
                except RefusedError as error:
                    await self._refuse(_as_stream(accepted), error.refusal)
                    return
                # What a client sent in its head is not kept for as long as it is subscribed.
                del head
                await self._serve_stream(stream, admitted)
            finally:
                self._waiting.pop(scope, None)
                del self._open[scope]
                self._closed.unpark_all()

    async def _first_head(self, accepted: Accepted, scope: trio.CancelScope) -> Head | None:
        """Read the head of a connection's first request; None where none is to be answered."""
        if self._others() > limits.HTTP_CONNECTIONS:
            if isinstance(accepted, SocketStream):
                await self._refuse(accepted, handshake.TOO_MANY_CONNECTIONS)
            return None
        if not isinstance(accepted, SocketStream):
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

    async def _refuse(self, stream: Connection, refusal: Refusal) -> None:
        patient = self._others() <= limits.HTTP_CONNECTIONS + limits.REFUSALS_AT_ONCE
        await refuse(stream, refusal, patient=patient)

    def _others(self) -> int:
        """Count the connections that are no streams."""
        return len(self._open) - self.streams.open

    async def _serve_http(
        self, connection: TickerTCPServer, accepted: Accepted, head: Head
    ) -> tuple[Accepted, Head | None]:
        """Let Hypercorn answer what is plain HTTP.

        Returns:
            The connection as it goes on, and the head of a request for a stream, once one comes;
            None at the connection's end.

        Raises:
            RefusedError: with what to answer the first request.
        """
        encrypted = not isinstance(accepted, SocketStream)
        peer = _as_stream(accepted).peer if encrypted else accepted.peer
        admit = partial(self._gate.admit, peer=peer, encrypted=encrypted)
        await admit(head)
        if not isinstance(accepted, SocketStream):
            return accepted, await connection.serve_http(HttpStream(accepted, head, _takes, admit))
        plain = accepted.detach()
        try:
            upgrade = await connection.serve_http(HttpStream(plain, head, _takes, admit))
            return (SocketStream.over(plain) if upgrade is not None else accepted), upgrade
        finally:
            plain.socket.close()

    async def _serve_stream(self, stream: Connection, admitted: Admitted) -> None:
        if isinstance(stream, SocketStream):
            await self.streams.serve(stream, admitted)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.write_frames)
            await self.streams.serve(stream, admitted)
            nursery.cancel_scope.cancel()


def _as_stream(accepted: Accepted) -> Connection:
    """Ready a connection for frames."""
    if isinstance(accepted, SocketStream):
        accepted.tune()
        return accepted
    return TlsStream(accepted)


def _takes(head: Head) -> bool:
    """Whether a request is ours to answer rather than Hypercorn's."""
    if head.path == STREAM_PATH or head.upgrades_to("websocket") or head.version >= "2":
        return True
    return bool(head.method) and not head.target_readable
