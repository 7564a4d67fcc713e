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
from ticker.metrics import Metrics
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.paths import STREAM_PATH
from ticker.rate_limit import KeyedLimiter
from ticker.security.authority import DatabaseUnavailableError, Grant, InvalidTokenError
from ticker.settings.model import Settings
from ticker.streams import handshake
from ticker.streams.context import StreamContext
from ticker.streams.handshake import Candidate, Refusal, RefusedError
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
        draining: Callable[[], bool],
    ) -> None:
        self.open = 0
        self.stalled = 0
        self.context = context
        self._settings = settings
        self._admission = admission
        self._metrics = metrics
        self._draining = draining
        self._refusals = KeyedLimiter(settings.refused_rate, capacity=limits.LIMITER_ADDRESSES)
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
        # It counts as a stream from here, so that a rush of good requests that wait for the
        # database is not taken for a crowd of connections that are none.
        self.open += 1
        try:
            return await self._admit_or_count(connection, head)
        except BaseException:
            self.open -= 1
            raise

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

    async def _admit_or_count(self, connection: Connection, head: Head) -> Admitted:
        """Find out whether a request is granted, within the limit of refusals for its address."""
        hops = self._settings.trusted_hops
        address = client_address(head, connection.peer, hops)
        counted_as = limit_key(address)
        now = trio.current_time()
        try:
            wait = self._refusals.wait(counted_as, now)
            if wait:
                raise RefusedError(handshake.too_many_refusals(wait))  # noqa: TRY301 - counted below
            candidate, grant = await self._admit(connection, head)
            place = self._place(grant, counted_as)
        except RefusedError as error:
            self._refusals.admit(counted_as, now)
            self._metrics.handshake_refused(error.refusal.reason)
            log.info("handshake_refused", reason=error.refusal.reason, address=address)
            raise
        return Admitted(candidate.response(), grant, place, address)

    async def _admit(self, connection: Connection, head: Head) -> tuple[Candidate, Grant]:
        """Find out whether a request for a stream is to be granted.

        Raises:
            RefusedError: it is not.
        """
        if head.version >= "2":
            raise RefusedError(handshake.HTTP_VERSION)
        if not head.target_readable:
            raise RefusedError(handshake.BAD_TARGET)
        if head.path != STREAM_PATH:
            raise RefusedError(handshake.NOT_FOUND)
        settings = self._settings
        candidate = handshake.examine(
            head,
            token_from=settings.token_from,
            allowed_origins=settings.allowed_origins,
            secure=client_secure(
                head,
                encrypted=isinstance(connection, TlsStream),
                trusted_hops=settings.trusted_hops,
            ),
        )
        try:
            grant = await self.context.authority.authenticate(candidate.token)
        except InvalidTokenError:
            raise RefusedError(handshake.INVALID_TOKEN) from None
        except DatabaseUnavailableError:
            raise RefusedError(handshake.UNAVAILABLE) from None
        if not self.context.access.allowed(grant.role, "connect"):
            raise RefusedError(handshake.FORBIDDEN)
        if self._draining():
            raise RefusedError(handshake.DRAINING)
        return candidate, grant

    def _place(self, grant: Grant, counted_as: str) -> Place:
        """Take a place for a stream; raises RefusedError where there is none."""
        try:
            return self._admission.place(
                token=grant.token_id,
                address=counted_as,
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
