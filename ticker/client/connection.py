"""One WebSocket connection to the server, over trio-websocket, with a limit on every wait.

Rules for this module: transport only; what messages mean is `pending_requests.py`'s. The
reader task that trio-websocket needs lives in the nursery that the caller hands in.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import Final, NoReturn, cast

import h11
import trio
import trio.lowlevel
import wsproto.utilities
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from ticker.client.disconnects import (
    ProtocolViolation,
    QueryRefused,
    Retry,
    of_close,
    of_handshake,
)
from ticker.client.errors import TickerError
from ticker.client.limits import (
    CLOSE_SECONDS,
    CONNECT_SECONDS,
    MESSAGE_BYTES,
    PROBE_AFTER_SECONDS,
    RECEIVE_BYTES,
    SILENCE_SECONDS,
    WRITE_SECONDS,
)
from ticker.client.server_address import Address
from ticker.client.token_request import connect_fault
from ticker.exception_groups import leaves
from ticker.protocol.paths import SUBPROTOCOL

_ABNORMAL: Final = 1006
#: What trio-websocket's reader raises where the peer speaks something else.
_READER_FAULTS: Final = (
    HandshakeError,
    wsproto.utilities.ProtocolError,
    h11.ProtocolError,
    UnicodeError,
)


async def dial(address: Address, ssl_context: ssl.SSLContext | None) -> trio.abc.Stream:
    """Open the connection that the WebSocket will run over.

    Raises:
        Retry: there is no answer now.
        UntrustedServerError: the server's certificate is not accepted.
    """
    with trio.move_on_after(CONNECT_SECONDS):
        try:
            stream = await trio.open_tcp_stream(address.host, address.port)
        except (OSError, UnicodeError) as error:
            raise connect_fault(address, error) from None
        if ssl_context is None:
            return stream
        secured = trio.SSLStream(
            stream, ssl_context, server_hostname=address.host, https_compatible=True
        )
        try:
            await secured.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.BrokenResourceError):
                raise connect_fault(address, error) from None
            raise
        return secured
    raise Retry(f"{address} did not answer within {CONNECT_SECONDS:g} s")


class WatchedStream(trio.abc.Stream):
    """A stream that knows when it was last heard, and breaks where nothing can be written.

    Every byte counts as a sign of life, pings and pongs included, which trio-websocket handles
    without showing them.

    Attributes:
        heard_at: when bytes last arrived, on trio's clock.
        ended: set once nothing more will arrive.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.heard_at = trio.current_time()
        self.ended = trio.Event()
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive bytes."""
        data: bytes | bytearray = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self.ended.set()
        self.heard_at = trio.current_time()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, within `WRITE_SECONDS`."""
        with trio.move_on_after(WRITE_SECONDS):
            await self._stream.send_all(data)
            return
        raise trio.BrokenResourceError("nothing can be written")

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until writing might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream beneath."""
        self.ended.set()
        await self._stream.aclose()


class ServerConnection:
    """An open WebSocket."""

    def __init__(self, websocket: WebSocketConnection, stream: WatchedStream) -> None:
        self._websocket = websocket
        self._stream = stream

    async def receive(self) -> str | bytes:
        """Wait for the next message.

        Raises:
            Retry: the connection has ended in a way that connecting again may mend.
            TickerError: it has ended in another way.
        """
        try:
            return await self._websocket.get_message()
        except ConnectionClosed as closed:
            raise self._fault(closed) from None

    async def send(self, text: str) -> None:
        """Send a message; raises as `receive` does."""
        try:
            await self._websocket.send_message(text)
        except ConnectionClosed as closed:
            raise self._fault(closed) from None

    async def watch(self) -> NoReturn:
        """Find out a path that has died silently (half-open): ping it where it says nothing.

        Raises:
            Retry: nothing came for `SILENCE_SECONDS`.
        """
        stream = self._stream
        while True:
            await trio.sleep_until(stream.heard_at + PROBE_AFTER_SECONDS)
            if trio.current_time() < stream.heard_at + PROBE_AFTER_SECONDS:
                continue
            quiet_since = stream.heard_at
            with trio.move_on_at(quiet_since + SILENCE_SECONDS):
                await self._ping()
            # A busy program comes here late, with bytes still to be read: let the reader run.
            await trio.lowlevel.checkpoint()
            if stream.heard_at == quiet_since:
                raise Retry(f"nothing came from the server for {SILENCE_SECONDS:g} s")

    async def _ping(self) -> None:
        """Send a ping and wait for its pong, or for the end."""
        try:
            await self._websocket.ping()
        except ConnectionClosed:
            await trio.sleep_forever()  # `receive` says why

    async def close(self) -> None:
        """Make the closing handshake with code 1000, within `CLOSE_SECONDS`."""
        with trio.move_on_after(CLOSE_SECONDS):
            await self._websocket.aclose()

    @staticmethod
    def _fault(closed: ConnectionClosed) -> Retry | TickerError:
        if closed.reason is None:
            return of_close(_ABNORMAL, None)
        return of_close(closed.reason.code, closed.reason.reason)


async def open_connection(
    readers: trio.Nursery, stream: trio.abc.Stream, address: Address, token: str, query: str = ""
) -> ServerConnection:
    """Make the WebSocket handshake, with a query where the stream is to begin with a subscription.

    A refusal (`trio_websocket.ConnectionRejected`) comes out of the nursery, where
    trio-websocket's reader learns of it. The stream stays the caller's to close.

    Raises:
        Retry: the stream ended within the handshake, or that took too long.
    """
    watched = WatchedStream(stream)
    websocket: WebSocketConnection | None = None
    with trio.move_on_after(CONNECT_SECONDS) as scope:
        async with trio.open_nursery() as race:
            # trio-websocket would wait on where the stream ends before the handshake does.
            race.start_soon(_cancel_at, watched.ended, race.cancel_scope)
            websocket = await wrap_client_stream(
                readers,
                cast("trio.SocketStream", watched),  # it needs no more than a Stream
                address.authority,
                f"{address.stream_path}?{query}" if query else address.stream_path,
                subprotocols=[SUBPROTOCOL],
                extra_headers=[(b"Authorization", b"Bearer " + token.encode())],
                max_message_size=MESSAGE_BYTES,
                receive_buffer_size=RECEIVE_BYTES,
            )
            race.cancel_scope.cancel()
    if websocket is None:
        how = "was too slow" if scope.cancelled_caught else "broke off"
        raise Retry(f"the WebSocket handshake with {address} {how}")
    return ServerConnection(websocket, watched)


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def reason_of_end(
    group: BaseExceptionGroup[BaseException], *, asked: bool = False
) -> BaseException:
    """The one exception of a connection's nursery that says why the connection ended.

    Args:
        group: what the nursery raised.
        asked: whether the handshake asked for a subscription, which may be what was refused.

    A refused handshake says more than anything else; then comes what was raised first.
    Where nothing in the group is expected, it is a bug or a cancellation, and stays whole.
    """
    if group.split((trio.Cancelled, Retry, TickerError, *_READER_FAULTS))[1] is not None:
        return group
    ranked = sorted(leaves(group), key=lambda leaf: not isinstance(leaf, ConnectionRejected))
    for leaf in ranked:
        match leaf:
            case ConnectionRejected(status_code=status, headers=headers):
                if asked and status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}:
                    return QueryRefused(f"the server refused the subscription ({status})")
                retry_after = dict(headers).get(b"retry-after", b"")
                return of_handshake(status, retry_after.decode("latin-1"))
            case Retry() | TickerError():
                return leaf
            case leaf if isinstance(leaf, _READER_FAULTS):
                return ProtocolViolation("the peer broke the WebSocket protocol")
    return group
