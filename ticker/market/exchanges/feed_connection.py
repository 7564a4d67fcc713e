"""One connection of a feed, from subscribing to the end.

Its tasks: one receives, one subscribes and asks again for what was refused, one pings where
the exchange has no heartbeat of its own. A fault of any ends them all with a `FeedError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from ticker.limits import (
    FEED_ANSWER_SECONDS,
    FEED_DETAIL_CHARACTERS,
    FEED_LOOK_SECONDS,
    FEED_PING_SECONDS,
    FEED_SILENCE_SECONDS,
)
from ticker.market.exchanges.decoding import BadMessage
from ticker.market.exchanges.dialect import Dialect
from ticker.market.exchanges.events import (
    Alive,
    DetailsSeen,
    Ending,
    Event,
    Halted,
    Holding,
    Ignored,
    PriceSeen,
    Refused,
    Subscribed,
)
from ticker.market.exchanges.exchange_socket import ExchangeSocket
from ticker.market.exchanges.feed_errors import FeedError, MessageTooBigError, one_fault
from ticker.market.exchanges.feed_memory import FeedMemory
from ticker.market.exchanges.feed_state import FeedState
from ticker.market.exchanges.subscriptions import Subscriptions
from ticker.market.exchanges.trade_numbers import TradeNumbers

__all__ = ["FeedConnection"]

#: Requests that are no subscriptions are numbered from here, so that no answer is mistaken.
_FIRST_QUESTION: Final = 1_000_000


class FeedConnection:
    """One connection.

    Attributes:
        scope: cancelling it ends the connection.
        since: when it was subscribed.
        ending: set once the exchange has said that it will end the connection.
    """

    def __init__(
        self,
        dialect: Dialect,
        names: Mapping[str, Sequence[str]],
        state: FeedState,
        memory: FeedMemory,
        report: Callable[[str, str], None],
        tap: Callable[[bytes | str], None],
    ) -> None:
        self._dialect: Final = dialect
        self._state: Final = state
        self._memory: Final = memory
        self._report: Final = report
        self._tap: Final = tap
        self._numbers: Final = TradeNumbers(report, consecutive=dialect.consecutive)
        self._subscriptions: Final = Subscriptions(
            names,
            memory.refused,
            memory.may_ask,
            dialect.batch,
            refuses_whole=dialect.refuses_whole,
        )
        self._answered = trio.Event()
        self._started = trio.Event()
        self._connection: ExchangeSocket | None = None
        self._question = _FIRST_QUESTION
        self._held: Sequence[str] | None = None
        self._watch: Final = trio.CancelScope()
        self.scope: Final = trio.CancelScope()
        self.since = math.inf
        self.ending: Final = trio.Event()

    async def run(
        self,
        connecting: AbstractAsyncContextManager[ExchangeSocket],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the connection until `scope` is cancelled; started once all is answered.

        Raises:
            FeedError: it ended, fell silent, or was refused as a whole.
            SourceConfigError: none of the symbols is served.
        """
        with self.scope, one_fault(self._dialect.name):
            async with connecting as self._connection, trio.open_nursery() as nursery:
                nursery.start_soon(self._subscribe, self._connection, task_status)
                nursery.start_soon(self._ping, self._connection)
                self._watch.deadline = trio.current_time() + FEED_SILENCE_SECONDS
                with self._watch:
                    while True:
                        await self._receive(self._connection)
                silence = f"no heartbeat for {FEED_SILENCE_SECONDS:g} s"
                raise FeedError(f"{self._dialect.name}: {silence}")

    # --- receiving

    async def _receive(self, connection: ExchangeSocket) -> None:
        try:
            raw = await connection.receive()
        except MessageTooBigError as error:
            self._report("message_too_big", str(error))
            raise
        self._tap(raw)
        try:
            events = self._dialect.parse(raw)
        except BadMessage as error:
            self._report("bad_message", str(error)[:FEED_DETAIL_CHARACTERS])
            return
        if self._dialect.any_message_is_alive:
            self._alive()
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case PriceSeen():
                self._numbers.take(event)
                self._state.price(event)
            case DetailsSeen():
                self._state.details(event)
            case Alive():
                self._numbers.compare(event)
                self._alive(event)
            case Subscribed() | Refused() | Holding():
                self._take_answer(event)
            case Halted():
                self._state.halt(event.reason)
            case Ending():
                self.ending.set()
            case Ignored():
                self._report("unknown_type", event.kind[:FEED_DETAIL_CHARACTERS])

    def _take_answer(self, event: Subscribed | Refused | Holding) -> None:
        match event:
            case Subscribed():
                self._subscriptions.confirm(event)
                self._state.subscribed(self._subscriptions.confirmed)
                self._memory.record.confirmed = len(self._subscriptions.confirmed)
                self._answered.set()
            case Refused():
                self._refused(event)
            case Holding() if event.request == self._question:
                self._held = event.symbols
                self._answered.set()
            case Holding():
                pass  # an answer that was waited for no longer

    def _alive(self, event: Alive | None = None) -> None:
        self._watch.deadline = trio.current_time() + FEED_SILENCE_SECONDS
        self._state.heartbeat(event or Alive())

    def _refused(self, event: Refused) -> None:
        concerned = self._subscriptions.refuse(event, trio.current_time())
        if concerned is None:
            reason = event.reason[:FEED_DETAIL_CHARACTERS]
            raise FeedError(f"{self._dialect.name}: refused: {reason}")
        for name in concerned:
            self._report("refused", f"{name}: {event.reason}"[:FEED_DETAIL_CHARACTERS])
        self._state.tell_reasons()
        self._answered.set()

    # --- asking

    async def _subscribe(
        self, connection: ExchangeSocket, task_status: trio.TaskStatus[None]
    ) -> None:
        """Subscribe to everything, batch by batch, and later again to what was refused."""
        while True:
            while self._subscriptions.gather(trio.current_time()):
                await self._request(connection)
                await trio.sleep(self._dialect.request_seconds)
            if not self._started.is_set():
                self._started.set()
                self.since = trio.current_time()
                self._watch.deadline = self.since + FEED_SILENCE_SECONDS
                task_status.started()
            wait = self._memory.refused.next_try() - trio.current_time()
            await trio.sleep(max(wait, FEED_LOOK_SECONDS))

    async def _request(self, connection: ExchangeSocket) -> None:
        names = self._subscriptions.next()
        for message in self._dialect.subscribe(names, self._subscriptions.request):
            await connection.send(message)
        deadline = trio.current_time() + FEED_ANSWER_SECONDS
        while self._subscriptions.awaited:
            with trio.move_on_at(deadline) as timeout:
                await self._wait_for_answer()
            if timeout.cancelled_caught:
                if self._state.halted is None:
                    self._unanswered()
                deadline = trio.current_time() + FEED_ANSWER_SECONDS
        self._memory.record.batches += 1

    def _unanswered(self) -> None:
        """Take what was asked for in vain for refused, where the exchange answered others."""
        awaited = self._subscriptions.awaited
        if not self._subscriptions.confirmed:
            name = self._dialect.name
            raise FeedError(f"{name}: no answer to subscribing to {self._state.some(awaited)}")
        self._refused(Refused("not acknowledged", tuple(awaited)))

    async def _wait_for_answer(self) -> None:
        self._answered = trio.Event()
        await self._answered.wait()

    async def check_holdings(self, question: Callable[[int], str]) -> None:
        """Ask the exchange what this connection is subscribed to.

        Raises:
            FeedError: it does not answer, or the connection lacks something.
        """
        if self._connection is None or not self._started.is_set():
            return
        self._question += 1
        self._held = None
        await self._connection.send(question(self._question))
        with trio.move_on_after(FEED_ANSWER_SECONDS):
            while self._held is None:
                await self._wait_for_answer()
        if self._held is None:
            raise FeedError(f"{self._dialect.name}: no answer to what is subscribed to")
        lacking = self._state.held(self._held, trio.current_time())
        if lacking:
            raise FeedError(
                f"{self._dialect.name}: subscribed no more to {self._state.some(lacking)}"
            )

    async def _ping(self, connection: ExchangeSocket) -> None:
        """Ask for signs of life until subscribed, and where the exchange gives none by itself."""
        dialect = self._dialect
        while dialect.pings or dialect.ping is not None or not self._started.is_set():
            await trio.sleep(FEED_PING_SECONDS)
            if dialect.ping is not None and self._started.is_set():
                await connection.send(dialect.ping)
                continue
            await connection.ping()
            if dialect.pings or not self._started.is_set():
                self._alive()
