"""An exchange's server, as well behaved as a test lets it be: its streams and its REST."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, urlsplit

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from tests.exchange_standin.manners import LISTED, Manners, Market, NoSuchPath

#: What a client's fault or leave looks like from here.
_GONE = (
    ConnectionClosed,
    LocalProtocolError,  # a ping came after the close frame: trio-websocket answers it
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


@attrs.define(eq=False)
class Client:
    """One connection as the stand-in sees it."""

    stream: trio.abc.Stream
    ws: WebSocketConnection
    symbols: list[str] = attrs.field(factory=list)
    asked_at: deque[float] = attrs.field(factory=deque)


@attrs.define(eq=False)
class Line(trio.abc.Stream):
    """A stream whose cable can be pulled: what is sent then is lost.

    What had been received already is received again.
    """

    inner: trio.abc.Stream
    pulled: Callable[[], bool]
    received: bytes = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.pulled():
            await trio.lowlevel.checkpoint()
        else:
            await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.received:
            received, self.received = self.received, b""
            return received
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


def about_candles(target: str) -> bool:
    """Tell whether a question of REST is about candles, at whatever exchange."""
    return any(word in target for word in ("candles", "OHLC", "klines"))


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@attrs.define
class StandIn:
    """Serves connections; the flags below make it misbehave from then on.

    Attributes:
        markets: what it lists, by our symbol; a test may take some out, halt or add some.
        acknowledges: answers requests.
        beats: sends heartbeats, each second.
        mute: nothing that it sends arrives, not even pongs.
        stalled: symbols whose trades are not streamed; None for all of them.
        system: the state of the whole exchange, where it tells one.
        upgrade: what it answers instead of an upgrade, as it stands; the connection stays open.
        rest_answer: what REST answers instead, as it stands; empty for nothing at all.
        candles_instead: answers a question about candles in its place; the connection ends after.
        unlisted: REST has an empty catalogue.
        shuts_down: announces the end of each connection right after its acknowledgement.
        clock: the time of its trades, in milliseconds since the epoch.
        requests: what it was asked, in order, over all connections.
        questions: what REST was asked.
        accepted: how many connections have been upgraded.
        connects: when connections were opened, by its own clock.
        faults: what clients did that the exchange forbids.
    """

    manners: Manners
    markets: dict[str, Market] = attrs.field(
        factory=lambda: {symbol: Market(symbol) for symbol in LISTED}
    )
    acknowledges: bool = True
    beats: bool = True
    mute: bool = False
    stalled: set[str] | None = attrs.field(factory=set)
    system: str = "online"
    upgrade: bytes | None = None
    rest_answer: bytes | None = None
    candles_instead: Callable[[trio.abc.Stream], Awaitable[None]] | None = None
    unlisted: bool = False
    shuts_down: bool = False
    clock: Callable[[], int] = wall_ms
    requests: list[str] = attrs.field(factory=list)
    questions: list[str] = attrs.field(factory=list)
    accepted: int = 0
    connects: list[float] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)
    clients: list[Client] = attrs.field(factory=list)
    _changed: trio.Condition = attrs.field(factory=trio.Condition)

    # --- serving

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, whichever way the other side brings that about."""
        self.connects.append(trio.current_time())
        try:
            while head := await self._head(stream):
                if b"\nupgrade: websocket" in head.lower():
                    await self._upgrade(stream, head)
                    return
                await self._rest(stream, head)
        except* _GONE:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _head(self, stream: trio.abc.Stream) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await stream.receive_some()
            if not piece:
                return b""
            head += piece
        return head

    async def _rest(self, stream: trio.abc.Stream, head: bytes) -> None:
        target = head.split(b" ")[1].decode()
        self.questions.append(target)
        await self._notify()
        if self.rest_answer is not None:
            await stream.send_all(self.rest_answer)
            await trio.sleep_forever()
        if self.candles_instead is not None and about_candles(target):
            await self.candles_instead(stream)
            await stream.aclose()
            return
        parts = urlsplit(target)
        markets = {} if self.unlisted else self.markets
        status, answer = "200 OK", b"{}"
        self.manners.clock = self.clock
        try:
            found = self.manners.rest(markets, parts.path, dict(parse_qsl(parts.query)))
            answer = json.dumps(found).encode()
        except NoSuchPath as error:
            status = f"{error.status} Not so"
        length = f"Content-Length: {len(answer)}\r\n\r\n"
        await stream.send_all(f"HTTP/1.1 {status}\r\n{length}".encode() + answer)

    async def _upgrade(self, stream: trio.abc.Stream, head: bytes) -> None:
        if self.upgrade is not None:
            await stream.send_all(self.upgrade)
            await trio.sleep_forever()
        client: Client | None = None
        try:
            async with trio.open_nursery() as nursery:
                line = Line(stream, lambda: self.mute, head)
                request = await wrap_server_stream(nursery, line)
                client = Client(stream, await request.accept())
                self.accepted += 1
                self.clients.append(client)
                await self._converse(client, request.path)
                nursery.cancel_scope.cancel()
        finally:
            if client is not None:
                self.clients.remove(client)

    async def _converse(self, client: Client, path: str) -> None:
        for greeting in self.manners.greeting(self.system):
            await client.ws.send_message(greeting)
        patience = trio.current_time() + self.manners.subscribe_seconds
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, client)
            with trio.CancelScope(deadline=patience) as waiting:
                while True:
                    message = str(await client.ws.get_message())
                    if not self._within_limits(client, message):
                        break
                    await self._answer(client, message, path)
                    if client.symbols:
                        waiting.deadline = math.inf
            nursery.cancel_scope.cancel()

    def _within_limits(self, client: Client, message: str) -> bool:
        """Tell whether the exchange goes on listening."""
        self.requests.append(message)
        now = trio.current_time()
        client.asked_at.append(now)
        while client.asked_at[0] <= now - 1:
            client.asked_at.popleft()
        # Pings of the protocol's own count nowhere.
        if len(client.asked_at) > self.manners.most_requests and '"bts:heart' not in message:
            self.faults.append(f"{len(client.asked_at)} requests in a second")
            return False
        return True

    async def _answer(self, client: Client, message: str, path: str) -> None:
        await self._notify()
        if len(message) > self.manners.most_bytes:
            self.faults.append(f"a request of {len(message)} bytes")
            return
        if not self.acknowledges:
            return
        answer = self.manners.answer(self.markets, message, client.symbols, path)
        for reply in answer.replies:
            await client.ws.send_message(reply)
        client.symbols += answer.accepted
        if self.manners.snapshots:
            for symbol in answer.accepted:
                market = self.markets[symbol]
                if market.price is not None:
                    await client.ws.send_message(self.manners.price(market))
        if self.shuts_down and answer.accepted and (notice := self.manners.shutdown()):
            await client.ws.send_message(notice)
        await self._notify()

    async def _beat(self, client: Client) -> None:
        while True:
            await trio.sleep(1)
            if self.beats:
                for beat in self.manners.heartbeat(self.markets, client.symbols):
                    await client.ws.send_message(beat)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # --- what tests wait for

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once a condition on what clients have asked or subscribed to holds."""
        async with self._changed:
            while not condition():
                await self._changed.wait()

    async def subscribed(self, connections: int = 1) -> None:
        """Return once so many connections have subscribed to something."""
        await self.wait_for(lambda: sum(bool(c.symbols) for c in self.clients) >= connections)

    # --- what happens at the exchange

    async def say(self, raw: str | bytes, client: Client | None = None) -> None:
        """Send a message as it is, to one connection or to all that have subscribed."""
        for each in [client] if client else [c for c in self.clients if c.symbols]:
            with contextlib.suppress(ConnectionClosed):  # it may have gone meanwhile
                await each.ws.send_message(raw)

    async def trade(
        self, symbol: str, price: str, number: int | None = None, client: Client | None = None
    ) -> None:
        """Let a symbol be traded: its next trade, or one of this number."""
        market = self.markets[symbol]
        newest = number is None or number > market.number
        traded = attrs.evolve(
            market,
            price=price,
            number=market.number + 1 if number is None else number,
            time_ms=self.clock(),
        )
        if newest:
            market.price, market.number, market.time_ms = price, traded.number, traded.time_ms
        if self.stalled is None or symbol in self.stalled:
            return
        message = self.manners.price(traded)
        for each in [client] if client else list(self.clients):
            if symbol in each.symbols:
                with contextlib.suppress(ConnectionClosed):  # it may have gone meanwhile
                    await each.ws.send_message(message)

    def skip(self, symbol: str) -> None:
        """Let a trade happen that no message tells of."""
        self.markets[symbol].number += 1

    async def announce(self, system: str) -> None:
        """Change the state of the whole exchange, and tell every client."""
        self.system = system
        for message in self.manners.status(system):
            for client in list(self.clients):
                with contextlib.suppress(ConnectionClosed):
                    await client.ws.send_message(message)

    async def shut_down(self) -> None:
        """Announce the end of every connection."""
        notice = self.manners.shutdown()
        assert notice is not None
        await self.say(notice)

    async def close(self, code: int, reason: str) -> None:
        """Close every connection in the orderly way."""
        for client in list(self.clients):
            with trio.move_on_after(1):  # for an answer, which a client need not give
                await client.ws.aclose(code, reason)

    async def break_off(self) -> None:
        """End every connection without a close frame."""
        for client in list(self.clients):
            await trio.aclose_forcefully(client.stream)

    def connects_per(self, seconds: float) -> int:
        """Return the most connections that were opened within so many seconds."""
        return max(
            (sum(at <= other < at + seconds for other in self.connects) for at in self.connects),
            default=0,
        )

    def subscribed_symbols(self) -> Sequence[str]:
        """Return all symbols that any connection has subscribed to, sorted."""
        return sorted({symbol for client in self.clients for symbol in client.symbols})
