"""The head of an HTTP/1.1 answer, read as soon as it is there, and what a refusal means.

The body of a refusal is not waited for: it may have no length, be cut short, or never come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import attrs
import trio

from ticker.limits import FEED_HEAD_BYTES, FEED_RETRY_AFTER_SECONDS, FEED_SLOW_SECONDS
from ticker.market.exchanges.feed_errors import FeedError, StatusError

__all__ = ["Head", "UpgradedStream", "read_head", "refusal"]

_END: Final = b"\r\n\r\n"
_START: Final = b"HTTP/1."


@attrs.frozen
class Head:
    """What an answer begins with: its status, its headers by lower-case name, and its bytes."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    rest: bytes


async def read_head(stream: trio.abc.ReceiveStream, place: str) -> Head:
    """Read the head of an answer, and whatever came in one piece with it.

    Raises:
        FeedError: what comes is not HTTP, is too long, or ends before the status is known.
    """
    received = bytearray()
    while _END not in received:
        piece = await stream.receive_some(FEED_HEAD_BYTES)
        received += piece
        if not received.startswith(_START[: len(received)]) or len(received) > FEED_HEAD_BYTES:
            raise FeedError(f"{place}: the answer is not HTTP")
        if not piece:
            break
    head, _, rest = bytes(received).partition(_END)
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or len(words[1]) != 3 or not words[1].isdecimal():  # noqa: PLR2004 - as in "HTTP/1.1 200"
        problem = "the answer is not HTTP" if head else "closed before it answered"
        raise FeedError(f"{place}: {problem}")
    pairs = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Head(int(words[1]), headers, head + _END, rest)


def refusal(place: str, head: Head, what: str = "refused") -> StatusError:
    """Return the fault that a status stands for, with how long to wait before trying again.

    `Retry-After` is honoured (RFC 9110 §10.2.3). Without it, what tells of a ban or of too many
    requests makes for a slower pace than a fault of the server's.
    """
    try:
        phrase = f" ({HTTPStatus(head.status).phrase})"
    except ValueError:
        phrase = ""
    wait = max(_retry_after(head.headers), FEED_SLOW_SECONDS.get(head.status, 0.0))
    reason = f"{place}: {what} with HTTP status {head.status}{phrase}"
    return StatusError(reason, head.status, retry_after=wait)


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("retry-after", "")
    try:
        seconds = float(value) if value.isdecimal() else _until(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), FEED_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else 0.0


def _until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (zoned - datetime.now(UTC)).total_seconds()


class UpgradedStream(trio.abc.Stream):
    """A stream to a WebSocket server whose first answer must be that it switches protocols."""

    def __init__(self, inner: trio.abc.Stream, place: str) -> None:
        self._inner = inner
        self._place = place
        self._upgraded = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, as the stream beneath."""
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait, as the stream beneath."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive; first of all the whole head of the answer.

        Raises:
            StatusError: the status is another than 101.
            FeedError: the answer is not HTTP.
        """
        if self._upgraded:
            return await self._inner.receive_some(max_bytes)
        head = await read_head(self._inner, self._place)
        if head.status != HTTPStatus.SWITCHING_PROTOCOLS:
            raise refusal(self._place, head)
        self._upgraded = True
        return head.raw + head.rest

    async def aclose(self) -> None:
        """Close, as the stream beneath."""
        await self._inner.aclose()
