"""The client: one stream of messages over one connection after the other.

Theory of operation: one task (`Client.run`) makes one connection after the other. Each
lives in its own nursery, with the reader of trio-websocket, a task that looks for silence,
one that subscribes and one that renews the token. A subscription is first asked for by message,
which tells what is wrong with it; after a cut the handshake asks for it, and in `changes` and
`every` it goes on after the last frame. Whichever fails first ends the
connection, and the exception says what to do: a `Retry` is followed by backoff and the next,
a `TickerError` ends the client and is raised from iterating and from requests. What arrives
goes through a `LatestWinsBuffer` to the consumer's task, and into a `Book`, which tells at any
time what is newest. A loss and its mending are messages too, between those of the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy

import trio

from ticker.client.backoff import pause_before
from ticker.client.book import Book
from ticker.client.connection import open_connection, reason_of_end
from ticker.client.credentials import Credentials
from ticker.client.disconnects import (
    ConsumerBehind,
    ForeignAnswer,
    ProtocolViolation,
    QueryRefused,
    Retry,
    StaleToken,
)
from ticker.client.errors import ProtocolError, RequestError, TickerError, UnreachableError
from ticker.client.latest_wins_buffer import LatestWinsBuffer
from ticker.client.limits import ANSWER_SECONDS, CLOSE_SECONDS, PROTOCOL_VIOLATIONS, STABLE_SECONDS
from ticker.client.losses import Losses
from ticker.client.messages import Message, Pong, Subscribed, Unsubscribed
from ticker.client.pending_requests import A, PendingRequests
from ticker.client.price import Price
from ticker.client.requests import Ping, Request, Resume, Subscribe, Unsubscribe, subscription
from ticker.client.server_address import Address
from ticker.client.statistics import ClientStatistics, State
from ticker.client.token_renewal import renew_ahead
from ticker.client.wanted import Wanted
from ticker.protocol.details import Detail, Mode


class Client:
    """A stream of messages that reconnects by itself; `connect()` makes it.

    Iterate over it for the messages, in one task or several. Once the stream has failed
    for good, iterating and asking raise the `TickerError` that says why.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        dial: Callable[[], Awaitable[trio.abc.Stream]],
        wanted: Subscribe | Unsubscribe | None,
    ) -> None:
        self._address = address
        self._credentials = credentials
        self._dial = dial
        self._wanted = Wanted(wanted)
        self._counts = ClientStatistics()
        self._buffer = LatestWinsBuffer(self._counts)
        self._requests: PendingRequests | None = None
        self._changed = trio.Event()  # set, and replaced, when a request may go on
        self._failure: TickerError | trio.ClosedResourceError | None = None
        self._book = Book(wanted.resume if isinstance(wanted, Subscribe) else None)
        self._attempt = 0
        self._violations = 0
        self._losses = Losses(self._buffer)
        self._leaving = False

    # --- What a user calls ---

    @property
    def state(self) -> State:
        """Where the client is: connecting, open, waiting to reconnect, or closed."""
        return self._counts.state

    @property
    def latest(self) -> Mapping[str, Price]:
        """Symbol to newest price, of the subscription in force; a view that stays current.

        It keeps the last prices while the stream is away or its source is stale: `is_live`.
        """
        return self._book.latest

    @property
    def position(self) -> Resume | None:
        """How far `latest` has come: hand it to `connect(resume=…)` to go on from there.

        None while a snapshot has to come first.
        """
        return self._book.position

    def is_live(self, symbol: str) -> bool:
        """Whether the price in `latest` may be acted on.

        It may while the stream is open and the price's source is not stale, be it in this
        symbol or as a whole.
        """
        return self._losses.shown and self._book.is_fresh(symbol)

    def statistics(self) -> ClientStatistics:
        """What the client has counted so far."""
        return copy(self._counts)

    def __aiter__(self) -> Client:
        return self

    async def __anext__(self) -> Message:
        return await self._buffer.take()

    async def subscribe(
        self,
        symbols: Sequence[str] | None = None,
        *,
        interval_ms: int | None = None,
        mode: Mode | None = None,
        detail: Detail | None = None,
        resume: Resume | None = None,
    ) -> Subscribed:
        """Replace the subscription as a whole, now and for every later connection.

        Where this is cancelled, or times out, the subscription may still be replaced: from when
        `Subscribed` is among the messages.

        Args:
            symbols: what to subscribe to; None for all that the user may see.
            interval_ms: the fastest pace of prices wanted; None for the server's own.
            mode: `latest`, `changes` or `every`; None for `latest`.
            detail: `price` or `full`; None for `price`.
            resume: go on after that frame, with the symbols and the detail as they are; None for
                a snapshot first.

        Raises:
            RequestError: the server refused (`unknown_symbol`, `forbidden`, ...), or gave no
                answer; the subscription is as it was.
        """
        wanted = subscription(symbols, interval_ms, mode, detail, resume)
        return await self._ask(wanted, Subscribed)

    async def unsubscribe(self) -> Unsubscribed:
        """Get no more prices, now and on every later connection; raises `RequestError`."""
        return await self._ask(Unsubscribe(), Unsubscribed)

    async def ping(self) -> float:
        """Ask for a sign of life; return the seconds it took, or raise `RequestError`."""
        begin = trio.current_time()
        await self._ask(Ping(), Pong)
        return trio.current_time() - begin

    async def _ask(self, request: Request, expected: type[A]) -> A:
        with trio.move_on_after(ANSWER_SECONDS):
            requests = await self._next_open()
            try:
                return await requests.ask(request, expected)
            except Retry as fault:
                raise RequestError("disconnected", f"{fault}; ask again") from None
        raise RequestError("timeout", f"no answer within {ANSWER_SECONDS:g} s")

    async def _next_open(self) -> PendingRequests:
        """Wait until a connection is open; raises why there will be none."""
        while self._requests is None:
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()
        return self._requests

    # --- What `running` calls ---

    async def opened(self, within: float) -> None:
        """Wait so many seconds for the first connection; raises why there is none."""
        with trio.move_on_after(within):
            await self._next_open()
            return
        raise UnreachableError(
            f"no stream from {self._address} within {within:g} s: "
            f"{self._counts.last_fault or 'it does not answer'}; "
            "check the URL and whether the server runs"
        )

    async def close(self) -> None:
        """Make the closing handshake, where there is a connection."""
        self._leaving = True
        if self._requests is not None:
            await self._requests.close()

    async def run(self) -> None:
        """Make one connection after the other until left, or until none makes sense."""
        failure: TickerError | trio.ClosedResourceError = trio.ClosedResourceError(
            "the `async with` of this client was left"
        )
        try:
            while not self._leaving:
                self._counts.state = State.CONNECTING
                try:
                    await self._connection()
                except Retry as fault:
                    if not self._leaving:
                        await self._recover(fault)
        except TickerError as error:
            failure = error
            self._counts.last_fault = str(error)
        finally:
            self._counts.state = State.CLOSED
            self._losses.shown = False
            self._failure = failure
            self._buffer.end(failure)
            self._wake()

    async def _recover(self, fault: Retry) -> None:
        self._counts.last_fault = str(fault)
        if isinstance(fault, StaleToken):
            self._credentials.reject(str(fault))
        if isinstance(fault, ForeignAnswer) and not self._counts.connections:
            raise ProtocolError(f"{fault}; check the URL", fault.status)
        if isinstance(fault, ProtocolViolation):
            self._violations += 1
            if self._violations == PROTOCOL_VIOLATIONS:
                raise ProtocolError(f"{self._address} is no Ticker server: {fault}; check the URL")
        self._counts.state = State.WAITING
        if isinstance(fault, QueryRefused):
            self._wanted.refuse_query()
        wait = pause_before(self._attempt, fault.after_seconds)
        self._losses.lose(str(fault), wait)
        await trio.sleep(wait)
        if isinstance(fault, ConsumerBehind):
            await self._buffer.room()
        self._attempt += 1

    # --- One connection ---

    async def _connection(self) -> None:
        """Connect, and listen until that ends, which raises why."""
        token = await self._credentials.current()
        stream = await self._dial()
        wanted = self._wanted.next_request(self._book.position)
        asked = self._wanted.query(wanted)
        try:
            async with trio.open_nursery() as nursery:
                connection = await open_connection(nursery, stream, self._address, token, asked)
                requests = PendingRequests(
                    connection,
                    self._buffer,
                    self._book,
                    self._counts,
                    muted=wanted is not None,
                    in_handshake=bool(asked),
                    opened=self._losses.begin_showing,
                    granted=self._in_force,
                )
                nursery.start_soon(connection.watch)
                nursery.start_soon(self._open, requests, wanted)
                nursery.start_soon(renew_ahead, self._credentials, requests, self._counts)
                try:
                    await requests.listen()
                except Retry as fault:
                    if self._leaving:
                        # The reader waits for the server's close frame; `running` ends the wait.
                        await trio.sleep(CLOSE_SECONDS)
                    fault.after_seconds = max(fault.after_seconds, requests.retry_after)
                    raise
                finally:
                    self._requests = None
                    requests.end()
        except BaseExceptionGroup as group:
            raise reason_of_end(group, asked=bool(asked)) from None
        finally:
            await trio.aclose_forcefully(stream)

    async def _open(
        self, requests: PendingRequests, wanted: Subscribe | Unsubscribe | None
    ) -> None:
        """Bring the stream to where the user wants it, and see whether it lasts."""
        await requests.welcome()
        match wanted:
            case Subscribe():
                if not await requests.confirmed():
                    await requests.ask(wanted, Subscribed)
                self._wanted.grant()
            case Unsubscribe():
                await requests.ask(wanted, Unsubscribed)
        self._requests = requests
        self._counts.state = State.OPEN
        self._counts.connections += 1
        self._wake()
        await trio.sleep(STABLE_SECONDS)
        self._attempt = self._violations = 0
        self._credentials.accepted()

    def _in_force(self, wanted: Subscribe | Unsubscribe, resumed: bool) -> None:  # noqa: FBT001 - of a callback
        """Want the same of later connections: what is held from here on is of this."""
        self._wanted.replace(wanted)
        if isinstance(wanted, Subscribe) and resumed and self._book.position is None:
            self._book.position = wanted.resume

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
