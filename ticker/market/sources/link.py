"""One WebSocket to an exchange: opening it, and saying in one line why it ended.

Rules: TLS is always verified for `wss://`, against the system's authorities or those that
`SSL_CERT_FILE` names; `ws://` is for a proxy or a test on one's own machine. Whatever goes
wrong here is a `FeedError`, whose text holds no more of an address than host and port.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    ConnectionTimeout,
    DisconnectionTimeout,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
)

from ticker.limits import (
    FEED_CLOSE_SECONDS,
    FEED_CONNECT_SECONDS,
    FEED_MESSAGE_BYTES,
    FEED_QUEUE_MESSAGES,
)
from ticker.market.sources import SourceConfigError

__all__ = ["FeedError", "Link", "check_url", "connected", "one_fault"]

#: RFC 6455 §7.4.1: we close with this on a message over our limit.
TOO_BIG = 1009


class FeedError(Exception):
    """A feed ended that should not have. The supervisor starts it again."""


def check_url(source: str, url: str) -> str:
    """Return `url` where it can be an exchange's address.

    Raises:
        SourceConfigError: it cannot.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"ws", "wss"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SourceConfigError(f"{source}: an address looks like wss://host:port/path")
    return url


@attrs.frozen
class Link:
    """An open WebSocket whose every fault is a `FeedError`."""

    place: str
    _ws: WebSocketConnection

    async def send(self, message: str) -> None:
        """Send one text message."""
        try:
            await self._ws.send_message(message)
        except ConnectionClosed as error:
            raise self._fault(error) from None

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            return await self._ws.get_message()
        except ConnectionClosed as error:
            raise self._fault(error) from None

    async def ping(self) -> None:
        """Send a ping and return when its pong has come."""
        try:
            await self._ws.ping()
        except ConnectionClosed as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> FeedError:
        return FeedError(f"{self.place}: {_why(error)}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Link]:
    """Open a WebSocket and close it again, each within a limit.

    Raises:
        FeedError: it cannot be opened, or it broke.
    """
    tls = ssl.create_default_context() if url.startswith("wss:") else None
    try:
        async with open_websocket_url(
            url,
            ssl_context=tls,
            message_queue_size=FEED_QUEUE_MESSAGES,
            max_message_size=FEED_MESSAGE_BYTES,
            connect_timeout=FEED_CONNECT_SECONDS,
            disconnect_timeout=FEED_CLOSE_SECONDS,
        ) as ws:
            yield Link(_place(url), ws)
    except DisconnectionTimeout as error:
        # What ended the talk matters; that the other side took no leave does not.
        if error.__context__ is not None:
            raise error.__context__ from None
    except (HandshakeError, OSError, trio.BrokenResourceError) as error:
        raise FeedError(f"{_place(url)}: {_why(error)}") from error


@contextmanager
def one_fault() -> Iterator[None]:
    """Turn a group of the expected faults, as a nursery raises, into the first of them."""
    fault: BaseException | None = None
    try:
        yield
    except* (FeedError, SourceConfigError) as group:
        fault = group
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
    if fault is not None:
        raise fault


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _why(error: BaseException) -> str:
    match error:
        case ConnectionTimeout():
            return f"no connection within {FEED_CONNECT_SECONDS:g} s"
        case ConnectionRejected():
            return f"refused with HTTP status {error.status_code}"
        case ConnectionClosed() if error.reason is not None:
            if error.reason.code == TOO_BIG:
                return f"a message of more than {FEED_MESSAGE_BYTES} bytes"
            return f"closed with {error.reason.code} {error.reason.reason or ''}".rstrip()
    cause = error
    while (deeper := _beneath(cause)) is not None:
        cause = deeper
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _beneath(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        first: BaseException = error.exceptions[0]
        return first
    return error.__cause__ or error.__context__
