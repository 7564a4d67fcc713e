"""One subscriber's session: from the accepted handshake to the end of its connection.

Whoever may end a session (the peer, the engine, a fault) ends the conversation, and all it
holds is undone in one place on the way out: first the subscription, then the close frame.
The reader always drains; what is sent goes through the frame stream, where every wait for
the peer has a deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from ticker import __version__, limits
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.messages import (
    Auth,
    Authenticated,
    BadMessageError,
    Closing,
    Error,
    Message,
    Ping,
    Pong,
    Request,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Welcome,
    decode_request,
)
from ticker.rate_limit import Bucket, Rate
from ticker.security.authority import Grant, InvalidTokenError
from ticker.security.policy import Action, Limits
from ticker.storage.errors import DatabaseUnavailableError
from ticker.streams.context import StreamContext
from ticker.streams.delivery import Delivery, DeliveryStream
from ticker.streams.inbound import RefusedMessageError
from ticker.streams.websocket import ABNORMAL, EndedError, WebSocket

log = structlog.get_logger()


class SessionStream(DeliveryStream, Protocol):
    """What a session needs of the stream under it."""

    heard_at: float

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write whole frames."""

    async def aclose(self) -> None:
        """Close without losing what was sent last."""

    def abort(self) -> None:
        """Cut the connection."""


class Session:
    """The conversation with one subscriber.

    Attributes:
        grant: what its token allows.
        close_code: why it ended; None while it lives.
    """

    __slots__ = (
        "_bad_at",
        "_context",
        "_delivery",
        "_expires_at",
        "_messages",
        "_retry_after_ms",
        "_scope",
        "_stream",
        "_websocket",
        "close_code",
        "grant",
    )

    def __init__(
        self,
        context: StreamContext,
        websocket: WebSocket,
        stream: SessionStream,
        grant: Grant,
        nursery: trio.Nursery,
    ) -> None:
        """Prepare a session; `run` begins it.

        Args:
            context: the market, the authority and the register of sessions.
            websocket: the accepted connection.
            stream: the stream under it.
            grant: what its token allows.
            nursery: where the session catches up once it has fallen behind.
        """
        self._context = context
        self._websocket = websocket
        self._stream = stream
        self._scope = trio.CancelScope()
        self._delivery = Delivery(context, stream, grant.role, nursery, self._undeliverable)
        self._bad_at: list[float] = []
        self._retry_after_ms = 0
        self.close_code: int | None = None
        self._accept_grant(grant)
        per_second = self._role_limits.messages_per_second or limits.MESSAGES_PER_SECOND
        burst = limits.MESSAGES_BURST * per_second / limits.MESSAGES_PER_SECOND
        self._messages = Bucket(Rate(max(1, round(burst)), max(1, round(burst)) / per_second))

    async def run(self, response: bytes) -> int:
        """Converse until the connection ends or the session is ended; then close.

        Args:
            response: the answer to the handshake, still to be sent.

        Returns:
            The close code.

        Never raises for what a peer did. A fault of ours is logged once, with its
        traceback, and ends just this session.
        """
        self._context.sessions.enter(self)
        try:
            if not self._context.authority.still_good(self.grant):
                # Revoked between the look-up and the register, which is asked from now on.
                self.end(CloseCode.UNAUTHENTICATED)
            try:
                with self._delivery, self._scope:
                    self._greet(response)
                    await self._converse()
            except EndedError as ended:
                self._set_code(ended.code)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._set_code(ABNORMAL)
            except Exception as error:  # noqa: BLE001 - the boundary that contains one session
                self.fail(error)
            await self._close()
        finally:
            self._websocket.end()
            self._context.sessions.leave(self)
        return CloseCode.FAULT if self.close_code is None else self.close_code

    def end(self, code: CloseCode, *, retry_after_ms: int = 0) -> None:
        """End the session from outside, at its next checkpoint; the first reason stands."""
        if self.close_code is None:
            self.close_code = code
            self._retry_after_ms = retry_after_ms
            self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """End the session because of a fault of ours."""
        log.error("session_crashed", user_id=self.grant.user_id, exc_info=error)
        self.end(CloseCode.FAULT)

    def check(self, now: float) -> None:
        """Look after the peer: called by the engine every `limits.WATCH_SECONDS`."""
        silence = now - self._stream.heard_at
        if self.close_code is not None:
            return
        if now >= self._expires_at:
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

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Keep a fault of this session from the engine, which looks after all of them."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the boundary that contains one session
            self.fail(error)

    @property
    def _role_limits(self) -> Limits:
        return self._context.access.limits(self.grant.role)

    def _accept_grant(self, grant: Grant) -> None:
        self.grant = grant
        if self._role_limits.outlive_token:
            self._expires_at = float("inf")
        else:
            # A deadline on the monotonic clock: no jump of the wall clock moves it.
            self._expires_at = trio.current_time() + grant.expires_at - self._context.market.wall()

    def _expires_in(self) -> int:
        return max(0, round(self.grant.expires_at - self._context.market.wall()))

    def _allowed(self, action: Action) -> tuple[str, ...]:
        return self._context.access.allowed(self.grant.role, action)

    def _greet(self, response: bytes) -> None:
        """Accept, welcome, and subscribe to everything: all in one write, without a checkpoint."""
        symbols = self._allowed("subscribe")
        welcome = Welcome(
            user_id=self.grant.user_id,
            role=self.grant.role,
            symbols=symbols,
            tick_ms=self._context.market.interval.milliseconds,
            expires_in=self._expires_in(),
            time=self._context.market.wall_ms(),
            version=__version__,
        )
        self._delivery.begin(response + welcome.frame(), symbols, self._every(None))

    async def _converse(self) -> None:
        """Answer until the connection ends."""
        while self.close_code is None:
            try:
                message = await self._websocket.receive()
            except RefusedMessageError as refused:
                self.end(refused.code)
                return
            if self._messages.admit(trio.current_time()):
                await self._receive(message)
            else:
                self.end(CloseCode.TOO_MANY_MESSAGES)

    async def _receive(self, message: str | bytes) -> None:
        try:
            await self._answer(decode_request(message))
        except BadMessageError as error:
            await self._say(Error(id=error.id, code="bad_message", message=str(error)))
            now = trio.current_time()
            self._bad_at = [at for at in self._bad_at if now - at < limits.BAD_MESSAGES_SECONDS]
            self._bad_at.append(now)
            if len(self._bad_at) >= limits.BAD_MESSAGES:
                self.end(CloseCode.BAD_MESSAGES)

    async def _answer(self, request: Request) -> None:
        match request:
            case Ping():
                await self._say(Pong(id=request.id))
            case Subscribe():
                await self._answer_subscribe(request)
            case Unsubscribe():
                self._delivery.unsubscribe()
                await self._say(Unsubscribed(id=request.id))
            case Auth():
                await self._answer_auth(request)

    async def _answer_subscribe(self, request: Subscribe) -> None:
        allowed = self._allowed("subscribe")
        symbols = allowed if request.symbols is None else tuple(dict.fromkeys(request.symbols))
        for symbol in symbols:
            if symbol not in self._context.market.book:
                text = f"there is no symbol {symbol[: limits.SYMBOL_CHARS]!r}"
                await self._say(Error(id=request.id, code="unknown_symbol", message=text))
                return
        denied = [symbol for symbol in symbols if symbol not in allowed]
        if denied or not symbols:
            text = f"your role may not subscribe to {denied[0] if denied else 'any symbol'}"
            await self._say(Error(id=request.id, code="forbidden", message=text))
            return
        every = self._every(request.interval_ms)
        # No tick of the old subscription may follow the answer, nor one of the new precede it.
        self._delivery.unsubscribe()
        await self._say(
            Subscribed(
                id=request.id,
                symbols=symbols,
                interval_ms=every * self._context.market.interval.milliseconds,
            )
        )
        self._delivery.subscribe(symbols, every)

    async def _answer_auth(self, request: Auth) -> None:
        try:
            grant = await self._context.authority.authenticate(request.token)
        except InvalidTokenError:
            await self._say(Error(id=request.id, code="invalid_token", message="invalid token"))
            return
        except DatabaseUnavailableError:
            text = "tokens cannot be checked now; try again"
            await self._say(Error(id=request.id, code="unavailable", message=text))
            return
        if (grant.user_id, grant.role) != (self.grant.user_id, self.grant.role):
            # What the stream may do and was counted as was decided when it began.
            text = "the token belongs to another user or role; open a stream of its own"
            await self._say(Error(id=request.id, code="forbidden", message=text))
            return
        self._accept_grant(grant)
        await self._say(Authenticated(id=request.id, expires_in=self._expires_in()))

    def _every(self, interval_ms: int | None) -> int:
        """Turn an interval into ticks: never faster than the tick or the role allows."""
        fastest = self._role_limits.fastest_interval_ms or 0
        return self._context.market.interval.ticks_in(max(interval_ms or 0, fastest))

    async def _say(self, message: Message) -> None:
        await self._stream.send_all(message.frame())

    def _undeliverable(self, error: Exception) -> None:
        """End the session because nothing can be sent any more."""
        if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            self._set_code(ABNORMAL)
            self._scope.cancel()
        else:
            self.fail(error)

    def _set_code(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code

    async def _close(self) -> None:
        """Close the connection, politely where somebody may be listening."""
        code = self.close_code
        with trio.CancelScope(shield=True) as patience:
            patience.deadline = trio.current_time() + self._context.close_seconds
            if isinstance(code, CloseCode) and not self._websocket.over:
                try:
                    if code is CloseCode.RESTART:
                        await self._say(Closing(code=code, retry_after_ms=self._retry_after_ms))
                    await self._websocket.close(code)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self._stream.abort()
            elif code != ABNORMAL:
                await self._stream.aclose()
        if patience.cancelled_caught or code == ABNORMAL:
            self._stream.abort()
