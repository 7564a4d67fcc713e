"""The gateway: what becomes of an accepted connection.

A request for the stream is answered here, from handshake to close; everything else goes to
Hypercorn and on to Quart. Whatever one connection does or suffers ends with that connection:
`serve` is the boundary where its exceptions stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio
from hypercorn.trio.worker_context import WorkerContext
from trio_websocket import wrap_server_stream

from ticker import limits
from ticker.admission import FullError
from ticker.client_address import UNKNOWN, client_address, limit_key
from ticker.close_codes import CloseCode
from ticker.engine import Engine
from ticker.gateway import handshake
from ticker.gateway.frame_stream import FrameStream
from ticker.gateway.handshake import Candidate, Refusal, RefusedError
from ticker.gateway.head import Head, read_head
from ticker.gateway.http_stream import HttpStream
from ticker.gateway.hypercorn import TickerTCPServer, tls_handshake
from ticker.gateway.linger import linger
from ticker.gateway.protocol import PATH, close_frame
from ticker.gateway.secure_stream import SecureFrameStream
from ticker.gateway.session import Session
from ticker.rate_limit import KeyedLimiter, RateLimit
from ticker.security.authority import DatabaseUnavailableError, Grant, InvalidTokenError

log = structlog.get_logger()

#: A connection as the listener accepted it.
Accepted = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class StreamGateway:
    """Serves connections for one engine.

    Attributes:
        stalled: how many streams were cut off because nobody read.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        rate = engine.settings.refused_rate
        self._refusals = KeyedLimiter(
            RateLimit(rate.count, rate.seconds), capacity=limits.LIMITER_ADDRESSES
        )
        self._waiting: dict[trio.CancelScope, None] = {}
        self._open: dict[trio.CancelScope, None] = {}
        self._streams = 0
        self.stalled = 0

    @property
    def connections(self) -> int:
        """How many connections are open, streams included."""
        return len(self._open)

    async def drain_with(self, context: WorkerContext) -> None:
        """Wait for Hypercorn to shut down, then drain, then cut off whoever is left."""
        await context.terminated.wait()
        for scope in tuple(self._waiting):
            scope.cancel()
        patience = self._engine.settings.graceful_timeout - limits.SHUTDOWN_MARGIN_SECONDS
        await self._engine.drain(max(0.0, patience))
        for scope in tuple(self._open):
            scope.cancel()

    async def serve(self, connection: TickerTCPServer) -> None:
        """Serve one accepted connection to its end; raises nothing but cancellation."""
        accepted: Accepted = connection.stream
        try:
            with self._tracked(self._open):
                await self._serve(connection, accepted)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # the peer left in the middle of something; nothing was lost but its own
        except* Exception as group:
            self._engine.metrics.connection_faults.inc()
            log.exception("connection_crashed", exc_info=group)
        finally:
            await trio.aclose_forcefully(accepted)

    async def _serve(self, connection: TickerTCPServer, accepted: Accepted) -> None:
        if len(self._open) - self._streams > limits.HTTP_CONNECTIONS:
            await self._refuse(accepted, handshake.TOO_MANY_CONNECTIONS)
            return
        with self._tracked(self._waiting):
            if not await tls_handshake(connection, limits.TLS_SECONDS):
                return
            if _speaks_http2(accepted):
                log.error(
                    "http2_refused",
                    hint="serve TLS with alpn_protocols = ['http/1.1']: browsers would send "
                    "WebSockets over HTTP/2, past the stream's gateway",
                )
                return
            head = await read_head(accepted, idle_seconds=limits.HEAD_SECONDS)
        if head is not None and not _takes(head):
            head = await connection.serve_http(HttpStream(accepted, head, _takes))
        if head is not None:
            await self._serve_stream(accepted, head)

    async def _serve_stream(self, accepted: Accepted, head: Head) -> None:
        """Answer a request for the stream, and be the stream if it is granted."""
        address = client_address(
            _peer(accepted), head.all(b"x-forwarded-for"), self._engine.settings.trusted_hops
        )
        now = trio.current_time()
        try:
            wait = self._refusals.wait(limit_key(address), now)
            if wait:
                raise RefusedError(handshake.too_many_refusals(wait))  # noqa: TRY301 - answered in one place
            candidate, grant = await self._admit(accepted, head)
            try:
                with self._engine.admission.place(
                    token=grant.token_id,
                    address=limit_key(address),
                    key=grant.key_id,
                    key_limit=self._engine.policies.limits(grant.role).max_streams,
                ):
                    await self._stream(accepted, candidate, grant, address)
            except FullError as full:
                full_or_many = (
                    handshake.FULL if full.scope == "server" else handshake.TOO_MANY_STREAMS
                )
                raise RefusedError(full_or_many) from None
        except RefusedError as error:
            refusal = error.refusal
            self._refusals.admit(limit_key(address), now)
            self._engine.metrics.handshake_refused(refusal.reason)
            log.info("handshake_refused", reason=refusal.reason, address=address)
            await self._refuse(accepted, refusal)

    async def _admit(self, accepted: Accepted, head: Head) -> tuple[Candidate, Grant]:
        """Find out whether a request for the stream is to be granted.

        Raises:
            RefusedError: it is not.
        """
        if head.version >= "2":
            raise RefusedError(handshake.HTTP_VERSION)
        if not head.target_readable:
            raise RefusedError(handshake.BAD_TARGET)
        if head.path != PATH:
            raise RefusedError(handshake.NOT_FOUND)
        settings = self._engine.settings
        candidate = handshake.examine(
            head,
            token_from=settings.token_from,
            allowed_origins=settings.allowed_origins,
            secure=_secure(accepted, head, settings.trusted_hops),
        )
        try:
            grant = await self._engine.authority.authenticate(candidate.token)
        except InvalidTokenError:
            raise RefusedError(handshake.INVALID_TOKEN) from None
        except DatabaseUnavailableError:
            raise RefusedError(handshake.UNAVAILABLE) from None
        if not self._engine.policies.allowed(grant.role, "connect", self._engine.book.symbols):
            raise RefusedError(handshake.FORBIDDEN)
        if self._engine.draining:
            raise RefusedError(handshake.DRAINING)
        return candidate, grant

    async def _stream(
        self, accepted: Accepted, candidate: Candidate, grant: Grant, address: str
    ) -> None:
        """Accept the handshake and run the session in the connection's own nursery."""
        head = candidate.canonical_head()
        stream = (
            FrameStream(accepted, head)
            if isinstance(accepted, trio.SocketStream)
            else SecureFrameStream(accepted, head)
        )
        self._streams += 1
        code: int = CloseCode.FAULT
        log.info("stream_opened", user_id=grant.user_id, key_id=grant.key_id, address=address)
        try:
            async with trio.open_nursery() as nursery:
                stream.start(nursery)
                websocket = await (
                    await wrap_server_stream(
                        nursery,
                        stream,
                        max_message_size=limits.MESSAGE_BYTES,
                        receive_buffer_size=limits.RECEIVE_BYTES,
                    )
                ).accept(subprotocol=candidate.subprotocol)
                session = Session(self._engine, websocket, stream, grant, nursery)
                code = await session.run()
                # What is left is the reader, seeing the peer's last bytes out.
                nursery.cancel_scope.deadline = trio.current_time() + limits.CLOSE_SECONDS
        except* Exception:
            # The library under the session failed on what the peer sent.
            with trio.move_on_after(limits.CLOSE_SECONDS):
                await stream.send_all(close_frame(CloseCode.FAULT))
                await stream.aclose()
            raise
        finally:
            self._streams -= 1
            self.stalled += stream.stalled
            stream.abort()
            self._engine.metrics.stream_closed(code)
            log.info("stream_closed", user_id=grant.user_id, key_id=grant.key_id, code=code)

    async def _refuse(self, accepted: Accepted, refusal: Refusal) -> None:
        """Answer without an upgrade, and close."""
        with trio.move_on_after(limits.CLOSE_SECONDS):
            await accepted.send_all(refusal.response())
        if isinstance(accepted, trio.SocketStream):
            await linger(accepted)

    @contextmanager
    def _tracked(self, scopes: dict[trio.CancelScope, None]) -> Iterator[None]:
        """Keep a connection's scope where a drain finds it, until the block is left."""
        with trio.CancelScope() as scope:
            scopes[scope] = None
            try:
                yield
            finally:
                del scopes[scope]


def _takes(head: Head) -> bool:
    """Whether a request is ours to answer rather than Hypercorn's."""
    if head.path == PATH or head.upgrades_to("websocket") or head.version >= "2":
        return True
    return bool(head.method) and not head.target_readable


def _speaks_http2(accepted: Accepted) -> bool:
    return isinstance(accepted, trio.SSLStream) and accepted.selected_alpn_protocol() == "h2"


def _secure(accepted: Accepted, head: Head, trusted_hops: int) -> bool:
    """Whether the client's side of the connection is encrypted."""
    if trusted_hops and (said := head.first(b"x-forwarded-proto")) is not None:
        return said.rpartition(",")[2].strip().lower() in {"https", "wss"}
    return isinstance(accepted, trio.SSLStream)


def _peer(accepted: Accepted) -> str:
    stream = accepted if isinstance(accepted, trio.SocketStream) else accepted.transport_stream
    name = stream.socket.getpeername()
    return str(name[0]) if isinstance(name, tuple) else UNKNOWN
