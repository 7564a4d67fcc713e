"""One subscriber's session: from the accepted handshake to the end of its connection.

Whoever may end a session (the peer, the engine, a fault) ends the conversation, and all it
holds is undone in one place on the way out: first the subscription, then the close frame.
The reader always drains; what is sent goes through the frame stream, where every wait for
the peer has a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from ticker import __version__, limits
from ticker.close_codes import CloseCode
from ticker.engine import Engine
from ticker.gateway.delivery import Delivery, DeliveryStream
from ticker.gateway.inbound import FrameMeter
from ticker.gateway.protocol import (
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
    close_frame,
    decode_request,
)
from ticker.rate_limit import Bucket, RateLimit
from ticker.security.authority import Grant, InvalidTokenError
from ticker.security.policy import Action, Limits
from ticker.storage.database import DatabaseUnavailableError

log = structlog.get_logger()

#: What a stream that ended without a close frame is counted as (RFC 6455 §7.1.5).
ABNORMAL: Final = 1006


#: How a peer broke the protocol: a frame that may not be, text that is not UTF-8.
_PROTOCOL_FAULTS: Final = frozenset({1002, 1007})


class SessionStream(DeliveryStream, Protocol):
    """What a session needs of the stream under it."""

    heard_at: float
    inspect: Callable[[bytes | bytearray], None]
    last_words: Callable[[], bytes]

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
        "_delivery",
        "_engine",
        "_expires_at",
        "_frames",
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
        engine: Engine,
        websocket: WebSocketConnection,
        stream: SessionStream,
        grant: Grant,
        nursery: trio.Nursery,
    ) -> None:
        """Prepare a session; `run` begins it.

        Args:
            engine: the market, the authority and the register of sessions.
            websocket: the accepted connection.
            stream: the stream under it.
            grant: what its token allows.
            nursery: the connection's own nursery, which the session's helpers run in.
        """
        self._engine = engine
        self._websocket = websocket
        self._stream = stream
        self._scope = trio.CancelScope()
        self._delivery = Delivery(engine, stream, nursery, self._undeliverable)
        self._bad_at: list[float] = []
        self._retry_after_ms = 0
        self._frames = FrameMeter()
        stream.inspect = self._inspect
        stream.last_words = self._last_words
        self.close_code: int | None = None
        self._accept_grant(grant)
        per_second = self._role_limits.messages_per_second or limits.MESSAGES_PER_SECOND
        burst = limits.MESSAGES_BURST * per_second / limits.MESSAGES_PER_SECOND
        self._messages = Bucket(RateLimit(max(1, round(burst)), max(1, round(burst)) / per_second))

    async def run(self) -> int:
        """Converse until the connection ends or the session is ended; then close.

        Returns:
            The close code.

        Never raises for what a peer did. A fault of ours is logged once, with its
        traceback, and ends just this session.
        """
        self._engine.sessions.enter(self)
        try:
            if not self._engine.authority.still_good(self.grant):
                # Revoked between the look-up and the register, which is asked from now on.
                self.end(CloseCode.UNAUTHENTICATED)
            try:
                with self._delivery, self._scope:
                    await self._converse()
            except ConnectionClosed as closed:
                # The peer said goodbye, or the connection broke; the reader sees to the rest.
                self._set_code(closed.reason.code if closed.reason else ABNORMAL)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._set_code(ABNORMAL)
            except Exception as error:  # noqa: BLE001 - the boundary that contains one session
                self.fail(error)
            await self._close()
        finally:
            self._engine.sessions.leave(self)
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
        return self._engine.policies.limits(self.grant.role)

    def _accept_grant(self, grant: Grant) -> None:
        self.grant = grant
        if self._role_limits.outlive_token:
            self._expires_at = float("inf")
        else:
            # A deadline on the monotonic clock: no jump of the wall clock moves it.
            self._expires_at = trio.current_time() + grant.expires_at - self._engine.wall()

    def _expires_in(self) -> int:
        return max(0, round(self.grant.expires_at - self._engine.wall()))

    def _allowed(self, action: Action) -> tuple[str, ...]:
        return self._engine.allowed(self.grant.role, action)

    async def _converse(self) -> None:
        """Greet, subscribe to everything, and answer until the connection ends."""
        symbols = self._allowed("subscribe")
        await self._say(
            Welcome(
                user_id=self.grant.user_id,
                role=self.grant.role,
                symbols=symbols,
                tick_ms=self._engine.tick_ms,
                expires_in=self._expires_in(),
                time=self._engine.wall_ms(),
                version=__version__,
            )
        )
        self._delivery.tell_status()
        if symbols:
            self._delivery.subscribe(symbols, self._every(None))
        while True:
            message = await self._websocket.get_message()
            if not self._messages.admit(trio.current_time()):
                self.end(CloseCode.TOO_MANY_MESSAGES)
                return
            await self._receive(message)
            if self.close_code is not None:
                return

    async def _receive(self, message: str | bytes) -> None:
        size = len(message.encode()) if isinstance(message, str) else len(message)
        if size > limits.MESSAGE_BYTES:
            self.end(CloseCode.TOO_BIG)
            return
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
            if symbol not in self._engine.book:
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
            Subscribed(id=request.id, symbols=symbols, interval_ms=every * self._engine.tick_ms)
        )
        self._delivery.subscribe(symbols, every)

    async def _answer_auth(self, request: Auth) -> None:
        try:
            grant = await self._engine.authority.authenticate(request.token)
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
        return self._engine.ticks_in(max(interval_ms or 0, fastest))

    async def _say(self, message: Message) -> None:
        await self._websocket.send_message(message.text())

    def _undeliverable(self, error: Exception) -> None:
        """End the session because nothing can be sent any more."""
        if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            self._set_code(ABNORMAL)
            self._scope.cancel()
        else:
            self.fail(error)

    def _inspect(self, data: bytes | bytearray) -> None:
        if not self._frames.within(data, trio.current_time()):
            self.end(CloseCode.TOO_MANY_MESSAGES)

    def _last_words(self) -> bytes:
        """Return the close frame that trio-websocket owes a peer that broke the protocol.

        It fails the connection without one, so the peer would not learn why (RFC 6455 §7.1.7).
        """
        closed = self._websocket.closed
        if closed is None or closed.code not in _PROTOCOL_FAULTS:
            return b""
        return close_frame(closed.code)

    def _set_code(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code

    async def _close(self) -> None:
        """Close the connection, politely where somebody may be listening."""
        code = self.close_code
        with trio.CancelScope(shield=True) as patience:
            graceful = self._engine.settings.graceful_timeout
            patience.deadline = trio.current_time() + min(limits.CLOSE_SECONDS, graceful)
            if isinstance(code, CloseCode) and self._websocket.closed is None:
                try:
                    if code is CloseCode.RESTART:
                        await self._say(Closing(code=code, retry_after_ms=self._retry_after_ms))
                    await self._websocket.aclose(code, code.reason)
                except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
                    self._stream.abort()
            elif code != ABNORMAL:
                await self._stream.aclose()
        if patience.cancelled_caught or code == ABNORMAL:
            self._stream.abort()
