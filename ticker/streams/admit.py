"""The streams: from a request for one to the end of its session, in the connection's own task."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import structlog
import trio

from ticker import limits
from ticker.addresses import limit_key
from ticker.admission import Admission, FullError, Place
from ticker.http.forwarded import client_address, client_secure
from ticker.http.head import Head
from ticker.http.origin import origin_allowed
from ticker.http.refusal import (
    FORBIDDEN,
    INVALID_TOKEN,
    UNAVAILABLE,
    Refusal,
    RefusalCounter,
    RefusedError,
)
from ticker.metrics import Metrics
from ticker.protocol.close_codes import CloseCode
from ticker.security.authority import DatabaseUnavailableError, Grant, InvalidTokenError
from ticker.settings.model import Settings
from ticker.streams import handshake
from ticker.streams.context import StreamContext
from ticker.streams.session import Session
from ticker.streams.websocket import WebSocket
from ticker.transport.socket_stream import SocketStream
from ticker.transport.tls_stream import TlsStream

log = structlog.get_logger()

#: What a stream can run over.
Connection = SocketStream | TlsStream


@attrs.frozen
class Admitted:
    """A request for a stream that is granted.

    Attributes:
        response: the answer to send.
        grant: what its token allows.
        place: is taken for it.
        address: the client's.
    """

    response: bytes
    grant: Grant
    place: Place
    address: str


class Streams:
    """Every stream, and every request for one that is not answered yet.

    Attributes:
        context: what they share.
        open: how many there are.
        stalled: how many were cut off because nobody read.
    """

    def __init__(
        self,
        context: StreamContext,
        settings: Settings,
        admission: Admission,
        metrics: Metrics,
        refusals: RefusalCounter,
        draining: Callable[[], bool],
    ) -> None:
        self.open = 0
        self.stalled = 0
        self.context = context
        self._settings = settings
        self._admission = admission
        self._metrics = metrics
        self._draining = draining
        self._refusals = refusals
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the tasks of those who are catching up; runs until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def admit(self, connection: Connection, head: Head) -> Admitted:
        """Find out whether a request for a stream is granted; `serve` is to follow at once.

        Raises:
            RefusedError: it is not; the connection is the caller's to answer and close.
        """
        settings = self._settings
        hops = settings.trusted_hops
        address = client_address(head, connection.peer, hops)
        encrypted = isinstance(connection, TlsStream)
        secure = client_secure(head, encrypted=encrypted, trusted_hops=hops)
        # It counts as a stream from here, so that a rush of good requests that wait for the
        # database is not taken for a crowd of connections that are none.
        self.open += 1
        try:
            candidate = handshake.decide(
                head,
                token_from=settings.token_from,
                allowed_origins=settings.allowed_origins,
                secure=secure,
                wait=self._refusals.wait(address),
                known=self.context.authority.knows,
            )
            grant = await self._authenticate(candidate.token)
            place = self._place(grant, address)
        except RefusedError as error:
            self.open -= 1
            foreign = not origin_allowed(head, settings.allowed_origins, secure=secure)
            self._refusals.handshake(error.refusal, address, foreign=foreign)
            raise RefusedError(error.refusal.to(head.method)) from None
        except BaseException:
            self.open -= 1
            raise
        return Admitted(candidate.response(), grant, place, address)

    async def serve(self, connection: Connection, admitted: Admitted) -> None:
        """Be the stream that was granted, to its end.

        The connection is closed then, also where a fault of ours or the peer's is raised.
        """
        assert self._nursery is not None  # noqa: S101 - `run` comes before any connection
        grant = admitted.grant
        audit = {"user_id": grant.user_id, "key_id": grant.key_id, "address": admitted.address}
        code: int = CloseCode.FAULT
        try:
            with admitted.place:
                log.info("stream_opened", **audit)
                websocket = WebSocket(connection)
                session = Session(self.context, websocket, connection, grant, self._nursery)
                code = await session.run(admitted.response)
        finally:
            connection.abort()
            self.open -= 1
            self.stalled += connection.stalled
            self._metrics.stream_closed(code)
            log.info("stream_closed", code=code, **audit)

    async def _authenticate(self, token: str) -> Grant:
        """Find out what a token opens, and that a stream may be opened with it now."""
        try:
            grant = await self.context.authority.authenticate(token)
        except InvalidTokenError:
            raise RefusedError(INVALID_TOKEN) from None
        except DatabaseUnavailableError:
            raise RefusedError(UNAVAILABLE) from None
        if not self.context.access.allowed(grant.role, "connect"):
            raise RefusedError(FORBIDDEN)
        if self._draining():
            raise RefusedError(handshake.DRAINING)
        return grant

    def _place(self, grant: Grant, address: str) -> Place:
        """Take a place for a stream; raises RefusedError where there is none."""
        try:
            return self._admission.place(
                token=grant.token_id,
                address=limit_key(address),
                key=grant.key_id,
                key_limit=self.context.access.limits(grant.role).max_streams,
            )
        except FullError as full:
            server = full.scope == "server"
            raise RefusedError(handshake.FULL if server else handshake.TOO_MANY_STREAMS) from None


async def refuse(
    connection: trio.abc.HalfCloseableStream, refusal: Refusal, *, patient: bool = True
) -> None:
    """Answer without an upgrade, and close.

    Args:
        connection: where the request came from.
        refusal: the answer.
        patient: whether to see to it that the answer arrives, which takes the peer's time.
    """
    with trio.move_on_after(limits.CLOSE_SECONDS):
        await connection.send_all(refusal.response())
        if patient:
            await connection.aclose()
            return
    await trio.aclose_forcefully(connection)
