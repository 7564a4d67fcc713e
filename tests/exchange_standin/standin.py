"""An exchange's server, as well behaved as a test lets it be."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream
from wsproto.utilities import LocalProtocolError

from tests.exchange_standin.manners import Manners

#: Exchanges drop a connection that has not subscribed after this long (Coinbase: 5 s).
SUBSCRIBE_SECONDS = 5


@attrs.define(eq=False)
class Client:
    """One connection as the stand-in sees it."""

    stream: trio.abc.Stream
    ws: WebSocketConnection
    symbols: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class Line(trio.abc.Stream):
    """A stream whose cable can be pulled: what is sent then is lost."""

    inner: trio.abc.Stream
    pulled: Callable[[], bool]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.pulled():
            await trio.lowlevel.checkpoint()
        else:
            await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


@attrs.define
class StandIn:
    """Serves connections; the flags below make it misbehave from then on.

    Attributes:
        acknowledges: answers requests.
        beats: sends heartbeats, each second.
        mute: nothing that it sends arrives, not even pongs.
        requests: what it was asked, in order, over all connections.
        accepted: how many connections it has had.
    """

    manners: Manners
    acknowledges: bool = True
    beats: bool = True
    mute: bool = False
    requests: list[str] = attrs.field(factory=list)
    accepted: int = 0
    clients: list[Client] = attrs.field(factory=list)
    _numbers: dict[str, int] = attrs.field(factory=dict)
    _changed: trio.Condition = attrs.field(factory=trio.Condition)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, whichever way the other side brings that about."""
        client: Client | None = None
        try:
            async with trio.open_nursery() as nursery:
                line = Line(stream, lambda: self.mute)
                request = await wrap_server_stream(nursery, line)
                client = Client(stream, await request.accept())
                self.accepted += 1
                self.clients.append(client)
                await self._converse(client, request.path)
                nursery.cancel_scope.cancel()
        except* (
            ConnectionClosed,
            LocalProtocolError,  # a ping came while saying goodbye: trio-websocket answers it
            trio.BrokenResourceError,
            trio.ClosedResourceError,
        ):
            pass
        finally:
            if client is not None:
                self.clients.remove(client)

    async def _converse(self, client: Client, path: str) -> None:
        for greeting in self.manners.greeting:
            await client.ws.send_message(greeting)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat, client)
            with trio.CancelScope(deadline=trio.current_time() + SUBSCRIBE_SECONDS) as patience:
                while True:
                    message = await client.ws.get_message()
                    patience.deadline = math.inf
                    await self._answer(client, str(message), path)
            nursery.cancel_scope.cancel()

    async def _answer(self, client: Client, message: str, path: str) -> None:
        self.requests.append(message)
        async with self._changed:
            self._changed.notify_all()
        if not self.acknowledges:
            return
        symbols, replies = self.manners.answer(json.loads(message), path)
        for reply in replies:
            await client.ws.send_message(reply)
        client.symbols += symbols
        async with self._changed:
            self._changed.notify_all()

    async def _beat(self, client: Client) -> None:
        while True:
            await trio.sleep(1)
            if self.beats:
                for beat in self.manners.heartbeat(client.symbols, self._numbers):
                    await client.ws.send_message(beat)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once a condition on what clients have subscribed to holds."""
        async with self._changed:
            while not condition():
                await self._changed.wait()

    async def subscribed(self, connections: int = 1) -> None:
        """Return once so many connections have subscribed to something."""
        await self.wait_for(lambda: sum(bool(c.symbols) for c in self.clients) >= connections)

    async def say(self, raw: str | bytes, client: Client | None = None) -> None:
        """Send a message as it is, to one connection or to all that have subscribed."""
        for each in [client] if client else [c for c in self.clients if c.symbols]:
            with contextlib.suppress(ConnectionClosed):  # it may have gone meanwhile
                await each.ws.send_message(raw)

    async def trade(
        self, symbol: str, price: str, number: int | None = None, client: Client | None = None
    ) -> None:
        """Send the message of a trade: the symbol's next one, or one of this number."""
        number = self._numbers.get(symbol, 100) + 1 if number is None else number
        self._numbers[symbol] = max(number, self._numbers.get(symbol, 0))
        await self.say(self.manners.price(symbol, price, number), client)

    def skip(self, symbol: str) -> None:
        """Let a trade happen that no message tells of."""
        self._numbers[symbol] = self._numbers.get(symbol, 100) + 1

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye to every connection."""
        for client in list(self.clients):
            with trio.move_on_after(1):  # for an answer, which a client need not give
                await client.ws.aclose(code, reason)

    async def break_off(self) -> None:
        """End every connection without a goodbye."""
        for client in list(self.clients):
            await trio.aclose_forcefully(client.stream)
