"""A stream over plain HTTP: the same messages and rules, as lines or as server-sent events.

Here Hypercorn writes, so frames go through a memory channel with room for one: what a response
does not take at once is what a slow socket does not. Latest wins in front of it as it does in
front of a socket, and a reader that takes nothing is cut off beneath Hypercorn
(`ticker.http.bridge`).

Nothing in here is cancelled: a session that ends closes the channel, and the response ends after
its last message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import structlog
import trio

from ticker import limits
from ticker.encodings.encoding import Encoding
from ticker.encodings.lines import SSE, SSE_COMMENT, retry
from ticker.protocol.close_codes import CloseCode
from ticker.protocol.messages import Closing
from ticker.protocol.requests import Subscribe
from ticker.security.authority import Grant
from ticker.streams.context import StreamContext
from ticker.streams.delivery import Delivery, TooSlowError
from ticker.streams.subscribing import charge, grant_subscription, whole_market
from ticker.streams.terms import Terms
from ticker.streams.welcome import welcome

log = structlog.get_logger()


def _nothing() -> None:
    """Do nothing: a frame is taken whole here."""


class ChannelStream:
    """The channel between the hub and a response.

    Attributes:
        on_partial_write: never called: a frame is taken whole.
    """

    on_partial_write: Callable[[], None]

    def __init__(self) -> None:
        self.on_partial_write = _nothing
        self._send, self._receive = trio.open_memory_channel[bytes](1)
        self._taken = trio.lowlevel.ParkingLot()

    def send_nowait(self, frame: bytes, /) -> None:
        """Hand one frame over, or raise as `trio.MemorySendChannel.send_nowait` does."""
        self._send.send_nowait(frame)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand frames over once there is room; raises as `trio.MemorySendChannel.send` does."""
        await self._send.send(bytes(data))

    async def wait_ready(self) -> None:
        """Wait until there is room; raises trio.ClosedResourceError once it is closed."""
        while self._receive.statistics().current_buffer_used:
            await self._taken.park()
        if not self._receive.statistics().open_send_channels:
            raise trio.ClosedResourceError

    async def take(self) -> bytes | None:
        """Return what was handed over next; None once that was all."""
        try:
            frame = await self._receive.receive()
        except trio.EndOfChannel:
            return None
        self._taken.unpark_all()
        return frame

    def close(self) -> None:
        """Take nothing more; what was handed over is still given."""
        self._send.close()
        self._taken.unpark_all()


class HttpSession:
    """One stream over plain HTTP, in the register of sessions while its block lasts.

    Iterate over it for the response, message by message.

    Attributes:
        close_code: why it ended; None while it lives.
    """

    def __init__(
        self,
        context: StreamContext,
        grant: Grant,
        encoding: Encoding,
        asked: Subscribe | None,
        nursery: trio.Nursery,
    ) -> None:
        """Prepare a session.

        Args:
            context: the market, the authority and the register of sessions.
            grant: what its token allows.
            encoding: how messages are written.
            asked: what the request asked for, found to be granted; None for everything.
            nursery: where it catches up once it has fallen behind.
        """
        self._context = context
        self._encoding = encoding
        self._asked = asked
        self._terms = Terms(context, grant)
        self._stream = ChannelStream()
        self._delivery = Delivery(
            context, self._stream, encoding, grant.role, nursery, self._undeliverable
        )
        self._begun = self._closed = False
        self._retry_after_ms = 0
        self._sent_at = trio.current_time()
        self.close_code: int | None = None

    def __enter__(self) -> Self:
        self._context.sessions.enter(self)
        if not self._context.authority.still_good(self.grant):
            self.end(CloseCode.UNAUTHENTICATED)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._delivery.__exit__()
        self._stream.close()
        self._context.sessions.leave(self)

    @property
    def grant(self) -> Grant:
        """What its token allows."""
        return self._terms.grant

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begin()
        frame = None if self._closed else await self._stream.take()
        self._sent_at = trio.current_time()
        if frame is not None:
            return frame
        if self._closed or self.close_code is None:
            raise StopAsyncIteration
        self._closed = True
        return self._closing(self.close_code)

    def _begin(self) -> None:
        """Say the first messages, and subscribe."""
        self._begun = True
        if self.close_code is not None:
            return
        market = self._context.market
        if self._asked is None:
            wanted = whole_market(self._terms, market.interval)
        else:
            wanted = grant_subscription(self._asked, self._terms, market)
            wanted = charge(wanted, self._terms, self._context.own_sets)
        messages = (welcome(self._terms, market), wanted.in_force(market))
        self._delivery.begin(b"".join(map(self._encoding.message, messages)), wanted)

    def end(self, code: CloseCode, *, retry_after_ms: int = 0) -> None:
        """End the session; the first close code wins."""
        if self.close_code is None:
            self.close_code = code
            self._retry_after_ms = retry_after_ms
            self._delivery.unsubscribe()
            self._stream.close()

    def check(self, now: float) -> None:
        """Look after it: end it with its token, and break a long silence."""
        if self.close_code is not None:
            return
        if now >= self._terms.expires_at:
            self.end(CloseCode.UNAUTHENTICATED)
        elif self._encoding is SSE and now - self._sent_at >= limits.PING_AFTER_SECONDS:
            # A write finds out whether the client is still there; lines have no comment.
            self._sent_at = now
            self._delivery.offer(SSE_COMMENT)

    def tell_status(self) -> None:
        """Tell which sources went stale or live since it was last told."""
        if self.close_code is None:
            self._delivery.tell_status()

    def tell_epoch(self) -> None:
        """Tell that the market is in another epoch, before the next frame."""
        if self.close_code is None:
            self._delivery.tell_epoch()

    def _undeliverable(self, error: Exception) -> None:
        if isinstance(error, TooSlowError):
            self.end(CloseCode.TOO_SLOW)
        elif not isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            log.error("session_crashed", user_id=self.grant.user_id, exc_info=error)
            self.end(CloseCode.FAULT)

    def _closing(self, code: int) -> bytes:
        message = self._encoding.message(Closing(code=code, retry_after_ms=self._retry_after_ms))
        if self._encoding is SSE and code == CloseCode.RESTART:
            return retry(self._retry_after_ms) + message
        return message
