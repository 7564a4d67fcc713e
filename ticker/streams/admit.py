"""The streams: from a request for one to the end of its session, in the connection's own task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import attrs
import structlog
import trio

from ticker import limits
from ticker.addresses import limit_key
from ticker.admission import Admission, FullError, Place
from ticker.encodings.encoding import Encoding
from ticker.http.authenticate import authenticate
from ticker.http.bearer import find_token, token_within_limit
from ticker.http.forwarded import client_address, client_secure
from ticker.http.head import Head
from ticker.http.origin import origin_allowed
from ticker.http.refusal import FORBIDDEN, RefusalCounter, RefusedError
from ticker.metrics import Metrics
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.requests import Subscribe
from ticker.security.authority import Grant
from ticker.settings.model import Settings
from ticker.streams import handshake
from ticker.streams.context import StreamContext
from ticker.streams.handshake import Candidate
from ticker.streams.session import Session
from ticker.streams.sse import HttpSession
from ticker.streams.subscribing import read_query
from ticker.streams.terms import Terms
from ticker.streams.websocket import ABNORMAL, WebSocket
from ticker.transport.socket_stream import SocketStream

log = structlog.get_logger()


@attrs.frozen
class Admitted:
    """A request for a stream that is granted.

    Attributes:
        candidate: what it asks for.
        grant: what its token allows.
        place: is taken for it.
        address: the client's.
        asked: the subscription it names; None for everything.
    """

    candidate: Candidate
    grant: Grant
    place: Place
    address: str
    asked: Subscribe | None


@attrs.frozen
class Opening:
    """A request for a stream over plain HTTP that is granted.

    Attributes:
        grant: what its token allows.
        asked: the subscription it names; None for everything.
        address: the client's.
        place: is taken for it; None where it was only asked whether it would be granted.
    """

    grant: Grant
    asked: Subscribe | None
    address: str
    place: Place | None = None


class Streams:
    """Every stream, and every request for one that is not answered yet.

    Attributes:
        context: what they share.
        open: how many there are.
        stalled: how many were cut off because the client did not read.
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

    def signed(self, head: Head) -> bool:
        """Whether a request carries a token that is genuine, be it revoked or expired by now."""
        try:
            token = find_token(head, self._settings.token_from)
        except RefusedError:
            return False
        return self.context.authority.signed(token)

    async def serve(
        self, stream: SocketStream, peer: str, head: Head, nursery: trio.Nursery
    ) -> None:
        """Answer a request for a stream by the stream, to its end.

        Args:
            stream: the connection; once the stream has begun it is closed, however it ends.
            peer: the address at its other end.
            head: the request.
            nursery: where a session catches up once it has fallen behind.

        Raises:
            RefusedError: it is not granted, with what to answer instead.
        """
        try:
            # It counts as a stream from here, so that a rush of good requests that wait for the
            # database is not taken for a crowd of connections that are none.
            self.open += 1
            try:
                admitted = await self._admit(stream, peer, head)
                del head
                await self._converse(stream, admitted, nursery)
            finally:
                self.open -= 1
        except RefusedError as error:
            if error.refusal.late:
                await trio.sleep(limits.HTTP_REFUSED_SECONDS)
            raise

    async def _converse(
        self, stream: SocketStream, admitted: Admitted, nursery: trio.Nursery
    ) -> None:
        """Be the stream that was granted, to its end."""
        stream.tune()
        grant = admitted.grant
        audit = {"user_id": grant.user_id, "key_id": grant.key_id, "address": admitted.address}
        code: int = CloseCode.FAULT
        try:
            with admitted.place:
                log.info("stream_opened", **audit)
                candidate = admitted.candidate
                session = Session(
                    self.context,
                    WebSocket(stream, compressed=candidate.compressed),
                    stream,
                    grant,
                    nursery,
                    candidate.encoding,
                    admitted.asked,
                )
                code = await session.run(candidate.response())
        finally:
            stream.abort()
            self.stalled += stream.stalled
            self._metrics.stream_closed(code)
            log.info("stream_closed", code=code, **audit)

    async def _admit(self, stream: SocketStream, peer: str, head: Head) -> Admitted:
        """Find out whether a request is granted, and count it where it is not.

        Raises:
            RefusedError: it is not.
        """
        settings = self._settings
        hops = settings.trusted_hops
        address = client_address(head, peer, hops)
        secure = client_secure(head, encrypted=stream.secure, trusted_hops=hops)
        try:
            candidate = handshake.decide(
                head,
                token_from=settings.token_from,
                allowed_origins=settings.allowed_origins,
                secure=secure,
                compression=settings.compression == "auto",
                wait=self._refusals.wait(address),
                known=self.context.authority.knows,
            )
            grant = await self._open_with(candidate.token)
            asked = None
            if head.query:
                asked = read_query(head.query, Terms(self.context, grant), self.context.market)
            place = self._place(grant, address)
        except RefusedError as error:
            foreign = not origin_allowed(head, settings.allowed_origins, secure=secure)
            self._refusals.handshake(error.refusal, address, foreign=foreign)
            refusal = error.refusal.to(head.method)
            if foreign:
                refusal = attrs.evolve(refusal, late=True)
            raise RefusedError(refusal) from None
        return Admitted(candidate, grant, place, address, asked)

    async def admit_http(self, head: Head, address: str) -> Opening:
        """Find out whether a request for a stream over plain HTTP is granted.

        It holds a place then: `open_http` is to follow at once, unless it is only asked whether.

        Raises:
            RefusedError: it is not.
        """
        places = [place for place in self._settings.token_from if place != "subprotocol"]
        try:
            token = token_within_limit(
                head,
                places,
                wait=self._refusals.wait(address),
                known=self.context.authority.knows,
            )
            grant = await self._open_with(token)
            last_event_id = head.first(b"last-event-id")
            terms = Terms(self.context, grant)
            asked = read_query(head.query, terms, self.context.market, last_event_id)
            if head.method == "HEAD":
                return Opening(grant, asked, address)
            return Opening(grant, asked, address, self._place(grant, address))
        except RefusedError as error:
            self._refusals.request(error.refusal, address)
            raise

    @contextmanager
    def open_http(
        self, opening: Opening, encoding: Encoding, nursery: trio.Nursery
    ) -> Iterator[AsyncIterator[bytes]]:
        """Give the messages of a stream over plain HTTP, which ends when the block is left.

        Args:
            opening: what was granted.
            encoding: how messages are written.
            nursery: where it catches up once it has fallen behind.
        """
        assert opening.place is not None  # noqa: S101 - `admit_http` took it
        grant = opening.grant
        audit = {"user_id": grant.user_id, "key_id": grant.key_id, "address": opening.address}
        session = HttpSession(self.context, grant, encoding, opening.asked, nursery)
        self.open += 1
        try:
            with opening.place, session:
                log.info("stream_opened", **audit)
                yield session
        finally:
            self.open -= 1
            code = ABNORMAL if session.close_code is None else session.close_code
            self._metrics.stream_closed(code)
            log.info("stream_closed", code=code, **audit)

    async def _open_with(self, token: str) -> Grant:
        """Find out what a token opens, and that a stream may be opened with it now."""
        grant = await authenticate(self.context.authority, token)
        await self.context.market.followed.current()
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
