"""Asking an exchange over HTTP: one question after the other, on one connection while it lasts.

Several clients may ask the same host: they share its turns.

GET only, HTTP/1.1 by h11. The answer is bounded in size and time; a status that is a refusal is
known at once, and what it says of waiting is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import attrs
import h11
import trio

from ticker.limits import FEED_ANSWER_SECONDS, FEED_REST_BYTES, FEED_REST_CHUNK_BYTES
from ticker.market.exchanges.connect_pauses import RestTurns
from ticker.market.exchanges.dial import Dial
from ticker.market.exchanges.exchange_address import place_of
from ticker.market.exchanges.feed_errors import FeedError, StatusError, one_fault
from ticker.market.exchanges.http_head import Head, refusal
from ticker.market.exchanges.proxy import Proxy

__all__ = ["RestClient"]


@attrs.define(eq=False)
class RestClient:
    """Asks one host; not for several tasks at a time.

    Attributes:
        url: its address, without a path.
        proxy: the proxy on the way to it.
        dial: opens a stream to it.
        before_connecting: waits until one more connection is within the source's budget.
        turns: when a question may be asked.
        most_bytes: the longest answer that is read.
    """

    url: str = attrs.field(repr=False)
    proxy: Proxy | None
    dial: Dial
    before_connecting: Callable[[], Awaitable[None]]
    turns: RestTurns
    most_bytes: int = FEED_REST_BYTES
    _stream: trio.abc.Stream | None = None
    _http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))
    _heard: bool = False

    async def ask(self, path: str) -> bytes:
        """Return the body of the answer to a GET.

        Raises:
            StatusError: the status is not 200.
            FeedError: there is no such answer within `FEED_ANSWER_SECONDS`, or the exchange wants
                to be left alone.
        """
        place = place_of(self.url)
        wait = self.turns.not_before - trio.current_time()
        if wait > 0:
            reason = f"{place}: not to be asked for another {wait:.0f} s"
            raise FeedError(reason, retry_after=wait)
        kept = self._stream is not None
        try:
            return await self._try(path, place)
        except FeedError as error:
            # A kept connection may have been closed meanwhile, which is no fault.
            if not kept or self._heard or isinstance(error, StatusError):
                raise
        return await self._try(path, place)

    async def _try(self, path: str, place: str) -> bytes:
        if self._stream is None:
            await self.before_connecting()
        await trio.sleep(self.turns.claim(trio.current_time()))
        self._heard = False
        try:
            with one_fault(place), trio.fail_after(FEED_ANSWER_SECONDS):
                return await self._ask(path)
        except trio.TooSlowError:
            await self.aclose()
            raise FeedError(f"{place}: no answer within {FEED_ANSWER_SECONDS:g} s") from None
        except BaseException as error:
            await self.aclose()
            if isinstance(error, StatusError):
                self.turns.put_off(trio.current_time() + error.retry_after)
            raise

    async def aclose(self) -> None:
        """Close the connection, if there is one; the next question opens another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await trio.aclose_forcefully(stream)

    async def _ask(self, path: str) -> bytes:
        if self._stream is None:
            self._stream = await self.dial(self.url, self.proxy)
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=FEED_REST_CHUNK_BYTES)
        headers = [
            ("Host", urlsplit(self.url).netloc.rpartition("@")[2]),
            ("Accept", "application/json"),
            ("User-Agent", "ticker"),
        ]
        await self._send(h11.Request(method="GET", target=path, headers=headers))
        await self._send(h11.EndOfMessage())
        body = bytearray()
        while True:
            match await self._next_event():
                case h11.Response() as response if response.status_code != HTTPStatus.OK:
                    raise refusal(place_of(self.url), _head(response))
                case h11.Data() as data:
                    body += data.data
                    if len(body) > self.most_bytes:
                        bound = f"an answer of more than {self.most_bytes} bytes"
                        raise FeedError(f"{place_of(self.url)}: {bound}")
                case h11.EndOfMessage():
                    break
                case h11.ConnectionClosed():
                    raise FeedError(f"{place_of(self.url)}: closed before it answered")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            await self.aclose()
        return bytes(body)

    async def _send(self, event: h11.Request | h11.EndOfMessage) -> None:
        assert self._stream is not None  # noqa: S101 - opened before anything is sent
        if data := self._http.send(event):
            await self._stream.send_all(data)

    async def _next_event(self) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
        assert self._stream is not None  # noqa: S101 - opened before anything is received
        while (event := self._http.next_event()) is h11.NEED_DATA:
            received = bytes(await self._stream.receive_some(FEED_REST_CHUNK_BYTES))
            self._heard = self._heard or bool(received)
            self._http.receive_data(received)
        return event


def _head(response: h11.Response) -> Head:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    return Head(response.status_code, headers, b"", b"")
