"""A Ticker server in memory, which the client's tests script connection by connection."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest
from trio_websocket import wrap_server_stream as wrap

from ticker.client.client import Client
from ticker.client.credentials import Credentials, IssuedToken
from ticker.client.disconnects import Retry
from ticker.client.entry import running
from ticker.client.messages import Message
from ticker.client.requests import Subscribe, Unsubscribe
from ticker.client.server_address import parse_address


class Session:
    """One connection, seen from the server."""

    def __init__(self, request: WebSocketRequest, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.handshake = request
        self.query = urlsplit(request.path).query
        self.token = dict(request.headers)[b"authorization"].decode().removeprefix("Bearer ")
        self.heard: list[dict[str, Any]] = []
        self._websocket: WebSocketConnection | None = None

    @property
    def websocket(self) -> WebSocketConnection:
        assert self._websocket is not None
        return self._websocket

    async def welcome(self) -> None:
        self._websocket = await self.handshake.accept(subprotocol="ticker.v1")
        await self.send(type="welcome", user_id="user:test", symbols=["BTC-USD"], tick_ms=10)

    async def send(self, **message: Any) -> None:
        await self.websocket.send_message(json.dumps(message))

    async def tick(self, seq: int, price: float = 42000.0) -> None:
        record = {"symbol": "BTC-USD", "price": price, "timestamp": 1790000000}
        await self.send(type="ticker", data=[record], seq=seq, time=1790000000123)

    async def hear(self) -> dict[str, Any]:
        """Wait for one request."""
        message: dict[str, Any] = json.loads(await self.websocket.get_message())
        self.heard.append(message)
        return message

    async def answer(self) -> dict[str, Any]:
        """Wait for one request and grant it."""
        request = await self.hear()
        match request["type"]:
            case "subscribe":
                symbols = request.get("symbols", ["BTC-USD", "ETH-USD"])
                interval = request.get("interval_ms", 10)
                await self.send(
                    type="subscribed", symbols=symbols, interval_ms=interval, id=request["id"]
                )
            case "unsubscribe":
                await self.send(type="unsubscribed", id=request["id"])
            case "auth":
                await self.send(type="authenticated", expires_in=3600, id=request["id"])
            case "ping":
                await self.send(type="pong", id=request["id"])
        return request

    async def serve(self) -> None:
        """Be a good server until the client goes."""
        while True:
            await self.answer()

    def fall_silent(self) -> None:
        """Let nothing more reach the client, as on a path that has died."""
        stream = self.stream
        assert isinstance(stream, trio.StapledStream)
        sending = stream.send_stream
        assert isinstance(sending, trio.testing.MemorySendStream)
        sending.send_all_hook = trio.sleep_forever

    async def close(self, code: int, reason: str | None = None) -> None:
        await self.websocket.aclose(code, reason)


Script = Callable[[Session], Awaitable[None]]


async def steady(session: Session) -> None:
    """Welcome, then be a good server."""
    await session.welcome()
    await session.serve()


class Peer:
    """The server: hand it one script per connection; the last one serves all further ones.

    Attributes:
        sessions: every connection that came as far as a handshake.
        attempts: the time of each attempt to connect.
        keys: every API key that was to be exchanged.
        exchanges: what to answer to those: an exception, or the seconds a token is good for;
            an hour where none is left.
        accepting: False refuses connections, as a server that is down.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.scripts: deque[Script] = deque([steady])
        self.sessions: list[Session] = []
        self.attempts: list[float] = []
        self.keys: list[str] = []
        self.exchanges: deque[Exception | float] = deque()
        self.accepting = True
        self._nursery = nursery

    def plan(self, *scripts: Script) -> None:
        self.scripts = deque(scripts)

    def client(
        self,
        *,
        api_key: str | None = "tk_a_good_key",
        token: str | None = None,
        wanted: Subscribe | Unsubscribe | None = None,
        open_timeout: float = 10,
    ) -> AbstractAsyncContextManager[Client]:
        """Run a client of this server."""
        address = parse_address("http://ticker.test:8081")
        if token is not None:
            api_key = None
        client = Client(address, Credentials(api_key, self._exchange, token), self._dial, wanted)

        @asynccontextmanager
        async def run() -> AsyncIterator[Client]:
            async with running(client, open_timeout):
                yield client

        return run()

    async def _exchange(self, api_key: str) -> IssuedToken:
        self.keys.append(api_key)
        await trio.lowlevel.checkpoint()
        answer = self.exchanges.popleft() if self.exchanges else 3600.0
        if isinstance(answer, Exception):
            raise answer
        return IssuedToken(f"token-{len(self.keys)}", answer)

    async def _dial(self) -> trio.abc.Stream:
        self.attempts.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if not self.accepting:
            raise Retry("cannot reach http://ticker.test:8081: connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        script = self.scripts.popleft() if len(self.scripts) > 1 else self.scripts[0]
        self._nursery.start_soon(self._serve, ours, script)
        return theirs

    async def _serve(self, stream: trio.abc.Stream, script: Script) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap(nursery, stream)
            session = Session(request, stream)
            self.sessions.append(session)
            try:
                await script(session)
            except ConnectionClosed:
                pass
            finally:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


@pytest.fixture
async def peer(nursery: trio.Nursery) -> Peer:
    """A server in memory."""
    return Peer(nursery)


async def until(client: Client, kind: type[Message]) -> Message:
    """Iterate up to the next message of this kind."""
    with trio.fail_after(600):
        async for message in client:
            if isinstance(message, kind):
                return message
    raise AssertionError


@pytest.fixture
def upto() -> Callable[[Client, type[Message]], Awaitable[Message]]:
    """Iterate up to the next message of a kind."""
    return until
