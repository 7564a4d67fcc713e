"""One WebSocket to an exchange: opening it, and saying in one line why it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, cast
from urllib.parse import urlsplit, urlunsplit

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from ticker.limits import (
    FEED_CLOSE_SECONDS,
    FEED_CONNECT_SECONDS,
    FEED_MESSAGE_BYTES,
    FEED_QUEUE_MESSAGES,
)
from ticker.market.exchanges.dial import Dial, dial, within
from ticker.market.exchanges.exchange_address import place_of
from ticker.market.exchanges.feed_errors import (
    BROKEN,
    FeedError,
    MessageTooBigError,
    one_fault,
    why,
)
from ticker.market.exchanges.http_head import UpgradedStream
from ticker.market.exchanges.proxy import Proxy

__all__ = ["ExchangeSocket", "connected"]

#: RFC 6455 §7.4.1: we close with this on a message over our limit.
TOO_BIG: Final = 1009


@attrs.frozen
class ExchangeSocket:
    """An open WebSocket whose every fault is a `FeedError`."""

    place: str
    _ws: WebSocketConnection

    async def send(self, message: str) -> None:
        """Send one text message."""
        try:
            await self._ws.send_message(message)
        except BROKEN as error:
            raise self._fault(error) from None

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            return await self._ws.get_message()
        except BROKEN as error:
            raise self._fault(error) from None

    async def ping(self) -> None:
        """Send a ping and return when its pong has come."""
        try:
            await self._ws.ping()
        except BROKEN as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> FeedError:
        closed = error.reason if isinstance(error, ConnectionClosed) else None
        if closed is not None and closed.code == TOO_BIG:
            bound = f"{self.place}: a message of more than {FEED_MESSAGE_BYTES} bytes"
            return MessageTooBigError(bound)
        return FeedError(f"{self.place}: {why(error)}")


@asynccontextmanager
async def connected(
    url: str, proxy: Proxy | None = None, dial: Dial = dial
) -> AsyncIterator[ExchangeSocket]:
    """Open a WebSocket and close it again, each within a limit.

    Raises:
        FeedError: it cannot be opened; a `StatusError` where the status of the answer says why.
    """
    parts, place = urlsplit(url), place_of(url)
    deadline = trio.current_time() + FEED_CONNECT_SECONDS
    with one_fault(place):
        with within(deadline, place):
            stream = await dial(url, proxy)
        try:
            async with trio.open_nursery() as reader:
                with within(deadline, place):
                    ws = await wrap_client_stream(
                        reader,
                        cast("trio.SocketStream", UpgradedStream(stream, place)),
                        parts.netloc.rpartition("@")[2],
                        urlunsplit(("", "", parts.path or "/", parts.query, "")),
                        message_queue_size=FEED_QUEUE_MESSAGES,
                        max_message_size=FEED_MESSAGE_BYTES,
                    )
                try:
                    yield ExchangeSocket(place, ws)
                finally:
                    # A close frame is a courtesy: what ended the talk matters, not the answer.
                    with trio.move_on_after(FEED_CLOSE_SECONDS), suppress(*BROKEN):
                        await ws.aclose()
                    reader.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)
