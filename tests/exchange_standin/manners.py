"""What every exchange's manners have: what it lists, and how it answers and tells of prices.

Each exchange has a file of its own, after its documentation.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import attrs

#: What every stand-in lists, in our form of the symbol.
LISTED = (
    *("BTC-USD", "ETH-USD", "SOL-USD", "BTC-USDT", "ETH-USDT", "SOL-USDT"),
    # What the recorded captures have:
    *("SKL-USD", "SKL-BTC", "SKL-GBP", "BAND-BTC", "BAND-GBP", "DASH-BTC", "NMR-EUR", "CRV-EUR"),
    *("NU-GBP", "YFI-BTC", "NKN-USDT", "LRC-BTC", "BLZ-ETH"),
)


@attrs.define
class Market:
    """One symbol at an exchange: its last trade, whether it is traded, and the figures of a day.

    Where `bid` and `ask` are None they are the price. `candles_from` is when it was listed, in
    milliseconds since the epoch: from then on REST has candles of it.
    """

    symbol: str
    price: str | None = None
    number: int = 100
    time_ms: int = 1_672_515_782_136
    trading: bool = True
    tick: str = "0.00000001"
    size: str = "0.25"
    bid: str | None = None
    ask: str | None = None
    open: str = "100.5"
    high: str = "120.50"
    low: str = "90.25"
    volume: str = "5000.125"
    change: str = "1.75"
    candles_from: int | None = None

    @property
    def base(self) -> str:
        return self.symbol.partition("-")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("-")[2]


@attrs.frozen
class Candle:
    """What was traded in a minute or an hour; nothing in each thirteenth."""

    begin_ms: int
    step_ms: int

    @property
    def empty(self) -> bool:
        return (self.begin_ms // self.step_ms) % 13 == 0

    @property
    def open(self) -> str:
        return f"{100 + self.begin_ms // self.step_ms % 10}.5"

    high = "120.25"
    low = "90.10"
    close = "105"

    @property
    def volume(self) -> str:
        return "0.00000" if self.empty else "12.50"


def candles(market: Market, step_ms: int, begin_ms: int, end_ms: int) -> Sequence[Candle]:
    """Return the candles that begin from a time on and before another, the oldest first."""
    if market.candles_from is None:
        return ()
    first = max(begin_ms, market.candles_from)
    return [Candle(at, step_ms) for at in range(first + -first % step_ms, end_ms, step_ms)]


class NoSuchPath(Exception):  # noqa: N818 - an answer rather than a fault
    """REST has nothing there; `status` is what it answers."""

    def __init__(self, status: int = 404) -> None:
        super().__init__(status)
        self.status = status


@attrs.define
class Answer:
    """What a request leads to: which of our symbols are subscribed to, and messages.

    `snapshots` of the symbols are sent after the messages, where the exchange sends some.
    """

    replies: Sequence[str] = ()
    accepted: Sequence[str] = ()


class Manners(ABC):
    """One exchange's side of its protocol.

    Attributes:
        name: the exchange's.
        path: where its streams are.
        example: a message of a price, of its documentation.
        snapshots: it tells the last price upon subscribing.
        most_bytes: a longer request is ignored.
        most_requests: it ends a connection that sends more in a second.
        subscribe_seconds: it ends a connection without a subscription after this time.
    """

    name: str
    path: str = "/"
    example: ClassVar[str]
    snapshots: ClassVar[bool] = True
    most_bytes: ClassVar[int] = 64 * 1024
    most_requests: ClassVar[int] = 100
    subscribe_seconds: ClassVar[float] = 30
    #: The time, in milliseconds since the epoch; a stand-in sets its own.
    clock: Callable[[], int] = staticmethod(lambda: 0)

    @abstractmethod
    def theirs(self, symbol: str) -> str:
        """Return its name for one of our symbols."""

    @abstractmethod
    def answer(
        self, markets: Mapping[str, Market], message: str, holds: Sequence[str], path: str
    ) -> Answer:
        """Answer a request of a connection that holds subscriptions already."""

    @abstractmethod
    def price(self, market: Market) -> str:
        """Return the message of the last trade."""

    @abstractmethod
    def rest(self, markets: Mapping[str, Market], path: str, query: Mapping[str, str]) -> object:
        """Return the JSON that REST answers.

        Raises:
            NoSuchPath: it has an error to answer.
        """

    def greeting(self, system: str) -> Sequence[str]:
        """Return what is said upon connecting."""
        del system
        return ()

    def status(self, system: str) -> Sequence[str]:
        """Return what tells every client that the state of the whole exchange has changed."""
        return self.greeting(system)

    def heartbeat(self, markets: Mapping[str, Market], holds: Sequence[str]) -> Sequence[str]:
        """Return what is sent each second to a connection that holds these subscriptions."""
        del markets, holds
        return ()

    def shutdown(self) -> str | None:
        """Return what announces the end of a connection, where it announces that."""
        return None

    def find(self, markets: Mapping[str, Market], names: Iterable[str]) -> list[str]:
        """Return the symbols, in our form, that are listed under its names."""
        known = {self.theirs(symbol): symbol for symbol in markets}
        return [known[name] for name in names if name in known]


def encoded(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))
