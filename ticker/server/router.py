"""The way of a connection: accept, router, then a stream or HTTP.

A request for a stream goes to `Streams`, from handshake to close; every other one goes to
Hypercorn and on to Quart. Whatever one connection does or suffers ends with that connection.
"""

from __future__ import annotations

from contextlib import closing

import trio

from ticker import limits
from ticker.addresses import limit_key
from ticker.connections import Connections, OpenConnection
from ticker.engine import Engine
from ticker.http.bridge import HttpBridge
from ticker.http.head import Head, is_for_streams, parse_plain, read_head
from ticker.http.refusal import RefusedError
from ticker.metrics import Metrics
from ticker.server.fault_boundary import FaultBoundary
from ticker.server.refuse import Refuser
from ticker.streams import handshake
from ticker.streams.admit import Streams
from ticker.transport.socket_stream import SocketStream


class Router:
    """Serves connections for one engine.

    Attributes:
        streams: those connections that became streams.
    """

    def __init__(
        self, engine: Engine, connections: Connections, streams: Streams, metrics: Metrics
    ) -> None:
        self.streams = streams
        self._engine = engine
        self._connections = connections
        self._metrics = metrics
        self._pacer = streams.context.pacer
        self._refuser = Refuser()

    def crowded(self) -> bool:
        """Say whether many connections are open that have not asked for anything yet."""
        return self._connections.half_open >= limits.HALF_OPEN_CROWD

    async def wait_room(self) -> None:
        """Wait while what was accepted already is more than can be dealt with for now."""
        await self._pacer.wait_room()

    async def settle(self) -> None:
        """Wait, for a bounded time, until what was accepted so far has been answered.

        A drain would refuse it, where a successor that has the rest would serve it.
        """
        sessions = self.streams.context.sessions
        with trio.move_on_after(limits.SETTLE_SECONDS):
            await trio.sleep(limits.SETTLE_LOOK_SECONDS)  # the last one's task begins
            while self._connections.half_open or self.streams.open > len(sessions):  # noqa: ASYNC110 - no event tells
                await trio.sleep(limits.SETTLE_LOOK_SECONDS)

    async def serve(self, stream: SocketStream, peer: str, http: HttpBridge) -> None:
        """Serve one accepted connection to its end; raises nothing but cancellation.

        Args:
            stream: the connection.
            peer: the address at its other end.
            http: where requests go that are not for the streams.
        """
        with (
            FaultBoundary(self._metrics),
            closing(stream),
            OpenConnection(self._connections, limit_key(peer)) as connection,
        ):
            try:
                self._make_room()
                head = await self._first_head(stream, connection)
                if head is not None:
                    head = http.placed(head)
                self._refuse_where_needed(head, http)
                if head is not None and not is_for_streams(head):
                    head = await http.serve(stream, head)
                if head is not None:
                    answering = self.streams.serve(stream, peer, head, self._engine.nursery)
                    # What a client sent in its head is not kept for as long as it is subscribed.
                    del head
                    await answering
            except RefusedError as error:
                await self._refuser.refuse(stream, error.refusal)

    async def _first_head(self, stream: SocketStream, connection: OpenConnection) -> Head | None:
        """Read the head of the first request; None where none came, or not in time.

        A client asks as soon as it is connected, and over plain TCP its request is nearly always
        there, whole, when the connection is accepted: then there is nothing to wait for.
        """
        received = b"" if stream.secure else stream.receive_nowait(limits.HEAD_BYTES)
        head = parse_plain(received)
        if head is not None:
            connection.asked()
            await self._pacer.turn()
            return head
        with connection.scope:
            if stream.secure:
                connection.scope.deadline = trio.current_time() + limits.TLS_SECONDS
                await stream.handshake(self._pacer.turn)
                received = stream.receive_nowait(limits.HEAD_BYTES)
                head = parse_plain(received)
            if head is None:
                head = await read_head(
                    stream,
                    connection.scope,
                    received,
                    idle_seconds=limits.HEAD_SECONDS,
                    turn=self._pacer.turn,
                )
        connection.asked()
        return head

    def _make_room(self) -> None:
        """Make room for one more that is no stream, or raise RefusedError.

        Where all of them have asked for something, some more may come in as far as their first
        request: it may be for a stream, with a token that is worth it.
        """
        if not self._full():
            return
        if self._connections.evict():
            self._metrics.request_refused("half_open")
        elif self._full(limits.HANDSHAKE_ROOM):
            raise RefusedError(handshake.TOO_MANY_CONNECTIONS)

    def _refuse_where_needed(self, head: Head | None, http: HttpBridge) -> None:
        """Raise RefusedError for a request that cannot be served now, whatever it is."""
        if head is None:
            return
        if self._engine.draining:
            raise RefusedError(http.readable(head, handshake.DRAINING.to(head.method)))
        if self._full() and not (is_for_streams(head) and self.streams.signed(head)):
            raise RefusedError(http.readable(head, handshake.TOO_MANY_CONNECTIONS.to(head.method)))

    def _full(self, more: int = 0) -> bool:
        """Whether there are too many connections that are no streams."""
        return len(self._connections) - self.streams.open > limits.HTTP_CONNECTIONS + more
