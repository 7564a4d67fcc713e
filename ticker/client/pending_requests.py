"""The messages of one connection: what arrives, and each request with its answer.

Rules for this module: it lives as long as its connection and knows nothing of reconnecting;
every wait for an answer has a deadline.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio

from ticker.client.book import Book
from ticker.client.connection import ServerConnection
from ticker.client.disconnects import ConsumerBehind, ProtocolViolation, Retry, bounded_wait
from ticker.client.errors import RequestError
from ticker.client.latest_wins_buffer import LatestWinsBuffer
from ticker.client.limits import (
    ANSWER_SECONDS,
    HANDSHAKE_ANSWER_SECONDS,
    REQUEST_BYTES,
    WELCOME_SECONDS,
)
from ticker.client.messages import (
    Answer,
    Authenticated,
    Closing,
    Error,
    MalformedMessageError,
    Pong,
    ServerMessage,
    Subscribed,
    Ticker,
    Unsubscribed,
    Welcome,
    decode,
)
from ticker.client.requests import Request, Subscribe, Unsubscribe, encode
from ticker.client.statistics import ClientStatistics

A = TypeVar("A", Subscribed, Unsubscribed, Authenticated, Pong)


class _Pending:
    """A request that waits for its answer."""

    def __init__(self, expected: type[Answer], request: Request | None = None) -> None:
        self.expected = expected
        self.request = request
        self.answer: Answer | None = None
        self.settled = trio.Event()

    def settle(self, answer: Answer | None) -> None:
        self.answer = answer
        self.settled.set()


class PendingRequests:
    """One connection's messages.

    Attributes:
        muted: while True, prices are not passed on: they are of the default subscription,
            which is about to be replaced, or of none.
        retry_after: how many seconds the server asked to wait once it closes.
    """

    def __init__(
        self,
        connection: ServerConnection,
        buffer: LatestWinsBuffer,
        book: Book,
        counts: ClientStatistics,
        *,
        muted: bool,
        in_handshake: bool = False,
        opened: Callable[[bool], None],
        granted: Callable[[Subscribe | Unsubscribe, bool], None],
    ) -> None:
        """Begin.

        Args:
            connection: where messages come from and requests go to.
            buffer: where messages are passed on to.
            book: takes in the same messages.
            counts: counts them.
            muted: whether prices are held back until the first subscription is confirmed.
            in_handshake: whether the handshake asked for that subscription.
            opened: is called once, before the first price that is passed on, with whether
                that follows the last one of an earlier connection without a gap.
            granted: is called with each subscription, or end of one, that the server confirms,
                before anything of it arrives, and with whether it was resumed; also where the
                task that asked for it no longer waits.
        """
        self.muted = muted
        self.retry_after = 0.0
        self._connection = connection
        self._buffer = buffer
        self._book = book
        self._opened = opened
        self._granted = granted
        self._counts = counts
        self._ids = itertools.count(1)
        self._pending: dict[int | None, _Pending] = {}
        if in_handshake:
            self._pending[None] = _Pending(Subscribed)  # its answer has no id
        self._welcomed = trio.Event()
        self._ended = False
        self._tick_ms: float | None = None
        self._pace: int | None = 1  # by how much `seq` grows where nothing is skipped
        self._seq: int | None = None

    async def listen(self) -> None:
        """Pass on what arrives until the connection ends, which raises why.

        Raises:
            Retry: connecting again may mend it.
            TickerError: it does not.
        """
        while True:
            text = await self._connection.receive()
            try:
                message = decode(text)
            except MalformedMessageError as error:
                raise ProtocolViolation(str(error)) from None
            if message is None:
                self._counts.unknown += 1
            else:
                self._take(message)
                if self._buffer.full:
                    raise ConsumerBehind("the program takes the ticks too slowly")

    async def welcome(self) -> None:
        """Wait for the first message."""
        with trio.move_on_after(WELCOME_SECONDS):
            await self._welcomed.wait()
            return
        raise ProtocolViolation("the server sent no welcome")

    async def confirmed(self) -> bool:
        """Wait for the subscription that the handshake asked for, if it did.

        Returns:
            Whether it is in force.

        Raises:
            Retry: the connection went before.
        """
        pending = self._pending.get(None)
        if pending is not None:
            with trio.move_on_after(HANDSHAKE_ANSWER_SECONDS):
                await pending.settled.wait()
                if pending.answer is None:
                    raise _gone()
                return True
            self._pending.pop(None, None)
        return False

    async def ask(self, request: Request, expected: type[A]) -> A:
        """Send a request and wait for its answer.

        A subscription that was sent is in force once the server says so, also where this was
        cancelled meanwhile.

        Raises:
            RequestError: it was refused.
            Retry: no answer came, or will come.
        """
        number = next(self._ids)
        text = encode(msgspec.structs.replace(request, id=number))
        if len(text) > REQUEST_BYTES:
            raise RequestError(
                "too_large",
                f"the request is {len(text)} bytes long, the server takes "
                f"{REQUEST_BYTES}: name fewer symbols",
            )
        if self._ended:
            raise _gone()
        pending = self._pending[number] = _Pending(expected, request)
        try:
            with trio.move_on_after(ANSWER_SECONDS):
                await self._connection.send(text)
                await pending.settled.wait()
        finally:
            if not isinstance(request, Subscribe | Unsubscribe):
                self._pending.pop(number, None)
        match pending.answer:
            case Error(code=code, message=message):
                raise RequestError(code, message)
            case answer if isinstance(answer, expected):
                return answer
        if pending.settled.is_set():
            raise _gone()
        raise Retry(f"the server gave no answer within {ANSWER_SECONDS:g} s")

    async def close(self) -> None:
        """Make the closing handshake."""
        await self._connection.close()

    def end(self) -> None:
        """The connection is gone: no answer will come."""
        self._ended = True
        for pending in self._pending.values():
            pending.settle(None)

    def _take(self, message: ServerMessage) -> None:
        self._counts.received += 1
        muted = self.muted
        match message:
            case Ticker(seq=seq):
                if self._seq is not None and self._pace is not None:
                    self._counts.skipped_ticks += max(0, seq - self._seq - self._pace)
                self._seq = seq
                if muted:
                    return
            case Welcome(tick_ms=tick_ms):
                self._tick_ms = tick_ms
                self._welcomed.set()
            case Closing(retry_after_ms=milliseconds):
                self.retry_after = bounded_wait(milliseconds / 1000)
            case Subscribed() | Unsubscribed() | Authenticated() | Pong() | Error():
                self._settle(message)
        self._book.take(message)
        self._buffer.put(message)
        if not self.muted and (muted or isinstance(message, Welcome)):
            self._opened(isinstance(message, Subscribed) and bool(message.resumed))

    def _settle(self, answer: Answer) -> None:
        number = answer.id
        pending = None
        if isinstance(number, int) or (number is None and isinstance(answer, Subscribed)):
            pending = self._pending.get(number)
        if pending is None:
            return  # nothing waits for it, or no longer
        if not isinstance(answer, (pending.expected, Error)):
            raise ProtocolViolation(f"the server answered a request with {type(answer).__name__}")
        if isinstance(number, int):
            self._pending.pop(number, None)
        if isinstance(answer, pending.expected) and isinstance(
            pending.request, Subscribe | Unsubscribe
        ):
            self._granted(pending.request, isinstance(answer, Subscribed) and bool(answer.resumed))
        if isinstance(answer, Subscribed | Unsubscribed):
            self.muted = False  # at once: the snapshot may follow in the same read
            self._seq = None
        if isinstance(answer, Subscribed):
            self._buffer.keeps_every = answer.mode == "every"
            if answer.mode in {"changes", "every"}:
                self._pace = None  # a jump of `seq` is a time without a change
            elif self._tick_ms and answer.interval_ms:
                self._pace = math.ceil(answer.interval_ms / self._tick_ms)
        pending.settle(answer)


def _gone() -> Retry:
    return Retry("the connection went before the answer came")
