"""One subscriber's session: from the accepted handshake to the end of its connection.

Whatever ends a session (the peer, the engine, a fault) ends the conversation, and all it holds
is undone in one place on the way out: first the subscription, then the close frame. The reader
always drains; what is sent goes through the frame stream, where every wait for the peer has a
deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from ticker import limits
from ticker.encodings.encoding import Encoding
from ticker.encodings.json import JSON
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.messages import Closing
from ticker.protocol.requests import Subscribe
from ticker.security.authority import Grant
from ticker.streams.context import StreamContext
from ticker.streams.delivery import Delivery, DeliveryStream, TooSlowError
from ticker.streams.inbound import RefusedMessageError
from ticker.streams.request_handler import RequestHandler
from ticker.streams.subscribing import charge, grant_subscription, whole_market
from ticker.streams.terms import Terms
from ticker.streams.websocket import ABNORMAL, EndedError, WebSocket
from ticker.streams.welcome import welcome

log = structlog.get_logger()


class SessionStream(DeliveryStream, Protocol):
    """What a session needs of the stream under it."""

    heard_at: float

    async def aclose(self) -> None:
        """Close without losing what was sent last."""

    def abort(self) -> None:
        """Cut the connection."""


class Session:
    """The stream of one subscriber.

    Attributes:
        close_code: why it ended; None while it lives.
    """

    __slots__ = (
        "_asked",
        "_context",
        "_delivery",
        "_encoding",
        "_requests",
        "_retry_after_ms",
        "_scope",
        "_stream",
        "_terms",
        "_websocket",
        "close_code",
    )

    def __init__(
        self,
        context: StreamContext,
        websocket: WebSocket,
        stream: SessionStream,
        grant: Grant,
        nursery: trio.Nursery,
        encoding: Encoding = JSON,
        asked: Subscribe | None = None,
    ) -> None:
        """Prepare a session; `run` begins it.

        Args:
            context: the market, the authority and the register of sessions.
            websocket: the accepted connection.
            stream: the stream under it.
            grant: what its token allows.
            nursery: where the session catches up once it has fallen behind.
            encoding: how messages are written.
            asked: what the handshake asked for, found to be granted; None for everything.
        """
        self._context = context
        self._websocket = websocket
        self._stream = stream
        self._encoding = encoding
        self._scope = trio.CancelScope()
        self._asked = asked
        self._retry_after_ms = 0
        self.close_code: int | None = None
        self._terms = Terms(context, grant)
        self._delivery = Delivery(
            context, stream, encoding, grant.role, nursery, self._undeliverable
        )
        # Made with the first message: most subscribers never say a word.
        self._requests: RequestHandler | None = None

    @property
    def grant(self) -> Grant:
        """What its token allows."""
        return self._terms.grant

    async def run(self, response: bytes) -> int:
        """Converse until the connection ends or the session is ended; then close.

        Args:
            response: the answer to the handshake, still to be sent.

        Returns:
            The close code.

        Never raises for what a peer did. A fault of the server is logged once, with its
        traceback, and ends just this session.
        """
        self._context.sessions.enter(self)
        try:
            if not self._context.authority.still_good(self.grant):
                # Revoked between the look-up and the register, which is asked from now on.
                self.end(CloseCode.UNAUTHENTICATED)
            try:
                # Left in any way, by its end, a crash or a cancellation, this unsubscribes.
                with self._delivery, self._scope:
                    self._greet(response)
                    await self._converse()
            except EndedError as ended:
                self._set_code(ended.code)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._set_code(ABNORMAL)
            except Exception as error:  # noqa: BLE001 - the boundary that contains one session
                self.fail(error)
            if self._websocket.over or self.close_code == ABNORMAL:
                await self._context.pacer.turn()  # no peer waits for the rest
            await self._close()
        finally:
            self._websocket.end()
            self._context.sessions.leave(self)
        return CloseCode.FAULT if self.close_code is None else self.close_code

    def end(self, code: CloseCode, *, retry_after_ms: int = 0) -> None:
        """End the session from outside, at its next checkpoint; the first close code wins."""
        if self.close_code is None:
            self.close_code = code
            self._retry_after_ms = retry_after_ms
            self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """End the session because of a fault of the server."""
        log.error("session_crashed", user_id=self.grant.user_id, exc_info=error)
        self.end(CloseCode.FAULT)

    def check(self, now: float) -> None:
        """Look after the peer: called by the engine every `limits.WATCH_SECONDS`."""
        silence = now - self._stream.heard_at
        if self.close_code is not None:
            return
        if now >= self._terms.expires_at:
            self.end(CloseCode.UNAUTHENTICATED)
        elif silence >= limits.SILENT_SECONDS - limits.WATCH_SECONDS:
            self.end(CloseCode.SILENT)
        else:
            with self._contained():
                self._delivery.watch_silence(silent=silence >= limits.PING_AFTER_SECONDS)

    def tell_status(self) -> None:
        """Tell the subscriber which sources went stale or live since it was last told."""
        if self.close_code is None:
            with self._contained():
                self._delivery.tell_status()

    def tell_epoch(self) -> None:
        """Tell the subscriber that the market is in another epoch, before its next frame."""
        if self.close_code is None:
            with self._contained():
                self._delivery.tell_epoch()

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Keep a fault of this session from the engine, which looks after all of them."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the boundary that contains one session
            self.fail(error)

    def _greet(self, response: bytes) -> None:
        """Accept, welcome, and subscribe: all in one write, without a checkpoint."""
        market = self._context.market
        greeting = response + self._encoding.message(welcome(self._terms, market))
        if self._asked is None:
            wanted = whole_market(self._terms, market.interval)
        else:
            wanted = grant_subscription(self._asked, self._terms, market)
            wanted = charge(wanted, self._terms, self._context.own_sets)
            greeting += self._encoding.message(wanted.in_force(market))
        self._delivery.begin(greeting, wanted)

    async def _converse(self) -> None:
        """Answer until the connection ends."""
        while self.close_code is None:
            try:
                message = await self._websocket.receive()
            except RefusedMessageError as refused:
                self.end(refused.code)
                return
            code = await self._handler().receive(message)
            if code is not None:
                self.end(code)

    def _handler(self) -> RequestHandler:
        if self._requests is None:
            self._requests = RequestHandler(
                self._context, self._stream, self._encoding, self._terms, self._delivery
            )
        return self._requests

    def _undeliverable(self, error: Exception) -> None:
        """End the session because nothing can be sent any more."""
        if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            self._set_code(ABNORMAL)
            self._scope.cancel()
        elif isinstance(error, TooSlowError):
            self.end(CloseCode.TOO_SLOW)
        else:
            self.fail(error)

    def _set_code(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code

    async def _close(self) -> None:
        """Close the connection, with a closing handshake where the peer may be listening."""
        code = self.close_code
        if code == ABNORMAL:
            self._stream.abort()
            return
        with trio.CancelScope(shield=True) as timeout:
            context, late = self._context, code is CloseCode.TOO_SLOW
            seconds = context.late_close_seconds if late else context.close_seconds
            timeout.deadline = trio.current_time() + seconds
            if isinstance(code, CloseCode) and not self._websocket.over:
                try:
                    if code is CloseCode.RESTART:
                        closing = Closing(code=code, retry_after_ms=self._retry_after_ms)
                        await self._stream.send_all(self._encoding.message(closing))
                    await self._websocket.close(code)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._stream.abort()
            else:
                await self._stream.aclose()
        if timeout.cancelled_caught:
            self._stream.abort()
