"""One WebSocket to an exchange: opening it, and saying in one line why it ended.

Rules: TLS is always verified for `wss://`, against the system's authorities or those that
`SSL_CERT_FILE` names; `ws://` is for a proxy or a test on one's own machine. Whatever goes
wrong here is a `FeedError`, whose text holds no more of an address than host and port.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.utilities import ProtocolError

from ticker.limits import (
    FEED_CLOSE_SECONDS,
    FEED_CONNECT_SECONDS,
    FEED_MESSAGE_BYTES,
    FEED_QUEUE_MESSAGES,
)
from ticker.market.sources import SourceConfigError, SourceError

__all__ = [
    "FeedError",
    "Link",
    "MessageTooBigError",
    "check_url",
    "connected",
    "one_fault",
    "place_of",
]

#: What a connection raises that does not work, or not any more.
_BROKEN: Final = (
    HandshakeError,
    ConnectionClosed,
    ProtocolError,
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)

#: RFC 6455 §7.4.1: we close with this on a message over our limit.
TOO_BIG = 1009


class FeedError(SourceError):
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


def place_of(url: str) -> str:
    """Return what may be shown of an address: host and port, and nothing that may be a secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class MessageTooBigError(FeedError):
    """The exchange sent a message longer than `FEED_MESSAGE_BYTES`."""


@attrs.frozen
class Link:
    """An open WebSocket whose every fault is a `FeedError`."""

    place: str
    _ws: WebSocketConnection

    async def send(self, message: str) -> None:
        """Send one text message."""
        try:
            await self._ws.send_message(message)
        except _BROKEN as error:
            raise self._fault(error) from None

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            return await self._ws.get_message()
        except _BROKEN as error:
            raise self._fault(error) from None

    async def ping(self) -> None:
        """Send a ping and return when its pong has come."""
        try:
            await self._ws.ping()
        except _BROKEN as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> FeedError:
        closed = error.reason if isinstance(error, ConnectionClosed) else None
        if closed is not None and closed.code == TOO_BIG:
            bound = f"{self.place}: a message of more than {FEED_MESSAGE_BYTES} bytes"
            return MessageTooBigError(bound)
        return FeedError(f"{self.place}: {_why(error)}")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Link]:
    """Open a WebSocket and close it again, each within a limit.

    Raises:
        FeedError: it cannot be opened.
    """
    parts, place = urlsplit(url), place_of(url)
    deadline = trio.current_time() + FEED_CONNECT_SECONDS
    with one_fault(place):
        with _patience(deadline, place):
            stream = await _open_stream(parts)
        try:
            async with trio.open_nursery() as reader:
                with _patience(deadline, place):
                    ws = await wrap_client_stream(
                        reader,
                        stream,
                        parts.netloc.rpartition("@")[2],
                        urlunsplit(("", "", parts.path or "/", parts.query, "")),
                        message_queue_size=FEED_QUEUE_MESSAGES,
                        max_message_size=FEED_MESSAGE_BYTES,
                    )
                try:
                    yield Link(place, ws)
                finally:
                    # A goodbye is a courtesy: what ended the talk matters, not how it is taken.
                    with trio.move_on_after(FEED_CLOSE_SECONDS), suppress(*_BROKEN):
                        await ws.aclose()
                    reader.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)


@contextmanager
def _patience(deadline: float, place: str) -> Iterator[None]:
    try:
        with trio.fail_at(deadline):
            yield
    except trio.TooSlowError:
        raise FeedError(f"{place}: no connection within {FEED_CONNECT_SECONDS:g} s") from None


async def _open_stream(parts: SplitResult) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    """Connect to a host and, for `wss`, make sure that it is that host."""
    host, secure = str(parts.hostname), parts.scheme == "wss"
    stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    if not secure:
        return stream
    try:
        # Reading the authorities takes tens of milliseconds, which are several ticks.
        context = await trio.to_thread.run_sync(ssl.create_default_context)
        tls = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
        await tls.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return tls


@contextmanager
def one_fault(place: str) -> Iterator[None]:
    """Turn what is expected to go wrong, alone or in a group as of a nursery, into one fault.

    Raises:
        FeedError: an expected fault of a connection, with the place it was to.
        SourceConfigError: as it was.
    """
    fault: Exception | None = None
    try:
        yield
    except* SourceError as group:
        fault = _first(group)
    except* _BROKEN as group:
        fault = fault or FeedError(f"{place}: {_why(_first(group))}")
    if fault is not None:
        raise fault


def _first(error: BaseException) -> Exception:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)  # noqa: S101 - those caught are
    return error


def _why(error: BaseException) -> str:
    match error:
        case ConnectionRejected():
            return f"refused with HTTP status {error.status_code}"
        case ConnectionClosed() if error.reason is not None:
            return f"closed with {error.reason.code} {error.reason.reason or ''}".rstrip()
    cause: BaseException = error
    while (deeper := _beneath(cause)) is not None:
        cause = deeper
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _beneath(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        first: BaseException = error.exceptions[0]
        return first
    return error.__cause__ or error.__context__
