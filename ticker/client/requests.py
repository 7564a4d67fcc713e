"""What is said on one connection: messages in, requests out, each answer to its asker.

Rules for this module: it lives as long as its link and knows nothing of reconnecting; all
waiting for answers has a deadline.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeVar

import msgspec
import trio

from ticker.client.connection import Link
from ticker.client.disconnects import Nonsense, Retry, patience
from ticker.client.errors import RequestError
from ticker.client.latest_wins_buffer import LatestWinsBuffer
from ticker.client.messages import (
    Answer,
    Authenticated,
    Closing,
    Error,
    Message,
    NonsenseError,
    Pong,
    Request,
    Subscribed,
    Ticker,
    Unsubscribed,
    Welcome,
    decode,
    encode,
)
from ticker.client.statistics import ClientStatistics
from ticker.limits import CLIENT_ANSWER_SECONDS, CLIENT_REQUEST_BYTES, CLIENT_WELCOME_SECONDS

A = TypeVar("A", Subscribed, Unsubscribed, Authenticated, Pong)


class _Question:
    """A request that waits for its answer."""

    def __init__(self, expected: type[Answer]) -> None:
        self.expected = expected
        self.answer: Answer | None = None
        self.settled = trio.Event()

    def settle(self, answer: Answer | None) -> None:
        self.answer = answer
        self.settled.set()


class Conversation:
    """One connection's messages.

    Attributes:
        muted: while True, prices are not passed on: they are of a subscription that is
            about to be replaced.
        come_back_after: how many seconds the server asked us to stay away once it closes.
    """

    def __init__(
        self, link: Link, mailbox: LatestWinsBuffer, counts: ClientStatistics, *, muted: bool
    ) -> None:
        self.muted = muted
        self.come_back_after = 0.0
        self._link = link
        self._mailbox = mailbox
        self._counts = counts
        self._ids = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._welcomed = trio.Event()
        self._ended = False
        self._tick_ms: float | None = None
        self._pace = 1  # by how much `seq` grows where nothing is skipped
        self._seq: int | None = None

    async def listen(self) -> None:
        """Pass on what arrives until the connection ends, which raises why.

        Raises:
            Retry: connecting again may mend it.
            TickerError: it does not.
        """
        while True:
            text = await self._link.receive()
            try:
                message = decode(text)
            except NonsenseError as error:
                raise Nonsense(str(error)) from None
            if message is None:
                self._counts.unknown += 1
            else:
                self._take(message)

    async def welcome(self) -> None:
        """Wait for the server's first word."""
        with trio.move_on_after(CLIENT_WELCOME_SECONDS):
            await self._welcomed.wait()
            return
        raise Nonsense("the server sent no welcome")

    async def ask(self, request: Request, expected: type[A]) -> A:
        """Send a request and wait for its answer.

        Raises:
            RequestError: it was refused.
            Retry: no answer came, or will come.
        """
        number = next(self._ids)
        text = encode(msgspec.structs.replace(request, id=number))
        if len(text) > CLIENT_REQUEST_BYTES:
            raise RequestError(
                "too_large",
                f"the request is {len(text)} bytes long, the server takes "
                f"{CLIENT_REQUEST_BYTES}: name fewer symbols",
            )
        if self._ended:
            raise _gone()
        question = self._questions[number] = _Question(expected)
        try:
            with trio.move_on_after(CLIENT_ANSWER_SECONDS):
                await self._link.send(text)
                await question.settled.wait()
        finally:
            self._questions.pop(number, None)
        match question.answer:
            case Error(code=code, message=message):
                raise RequestError(code, message)
            case answer if isinstance(answer, expected):
                return answer
        if question.settled.is_set():
            raise _gone()
        raise Retry(f"the server gave no answer within {CLIENT_ANSWER_SECONDS:g} s")

    async def close(self) -> None:
        """Say goodbye."""
        await self._link.close()

    def end(self) -> None:
        """The connection is gone: no answer will come."""
        self._ended = True
        for question in self._questions.values():
            question.settle(None)

    def _take(self, message: Message) -> None:
        self._counts.received += 1
        match message:
            case Ticker(seq=seq):
                if self._seq is not None:
                    self._counts.skipped_ticks += max(0, seq - self._seq - self._pace)
                self._seq = seq
                if self.muted:
                    return
            case Welcome(tick_ms=tick_ms):
                self._tick_ms = tick_ms
                self._welcomed.set()
            case Closing(retry_after_ms=milliseconds):
                self.come_back_after = patience(milliseconds / 1000)
            case Subscribed() | Unsubscribed() | Authenticated() | Pong() | Error():
                self._settle(message)
        self._mailbox.put(message)

    def _settle(self, answer: Answer) -> None:
        question = self._questions.get(answer.id) if isinstance(answer.id, int) else None
        if question is None:
            return  # asked by nobody, or no longer
        if not isinstance(answer, (question.expected, Error)):
            raise Nonsense(f"the server answered a request with {type(answer).__name__}")
        if isinstance(answer, Subscribed | Unsubscribed):
            self.muted = False  # at once: the snapshot may follow in the same read
            self._seq = None
        if isinstance(answer, Subscribed) and self._tick_ms and answer.interval_ms:
            self._pace = math.ceil(answer.interval_ms / self._tick_ms)
        question.settle(answer)


def _gone() -> Retry:
    return Retry("the connection went before the answer came")
