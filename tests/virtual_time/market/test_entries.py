"""An entry is encoded for those who are shown it, once, and at no other time."""

# ruff: noqa: ARG001 - virtual time takes effect by being asked for

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import trio

from tests.support.frames import FrameParser
from ticker.encodings.encoding import Encoding, ShownQuote
from ticker.encodings.json import JSON, JsonFormat
from ticker.market.book import Book
from ticker.market.hub import Hub
from ticker.market.quote import Quote
from ticker.market.subscription import Subscription
from ticker.protocol.details import Detail, Mode

WALL_MS = 1_790_000_000_000
SYMBOLS = tuple(f"C{number}-USD" for number in range(50))


class CountingFormat(JsonFormat):
    """JSON that counts the entries of each symbol."""

    def __init__(self) -> None:
        self.encoded: Counter[str] = Counter()

    def entry(self, quote: ShownQuote, detail: Detail) -> bytes:
        self.encoded[quote.symbol] += 1
        return super().entry(quote, detail)


class Reader:
    """A subscriber that reads what it is sent."""

    def __init__(self) -> None:
        self.book: dict[str, int] = {}
        self._parser = FrameParser()

    def send_nowait(self, frame: bytes, /) -> None:
        for each in self._parser.feed(frame):
            for entry in each.message["data"]:
                self.book[entry["symbol"]] = entry["price"]


def subscribe(
    hub: Hub, symbols: Sequence[str], every: int, encoding: Encoding, mode: Mode, reader: Reader
) -> Subscription:
    subscription = hub.subscribe(symbols, every, encoding, reader, print, mode=mode, detail="full")
    subscription.resume()
    return subscription


def market() -> tuple[Book, Hub]:
    book = Book(SYMBOLS)
    return book, Hub(book, time_ms=WALL_MS, tick_seconds=0.01, log_seconds=10.0)


def move(book: Book, symbols: Sequence[str], price: int) -> None:
    book.apply([Quote(each, Decimal(price), WALL_MS, WALL_MS, "kraken") for each in symbols])


async def test_who_is_shown_one_symbol_pays_for_no_other(autojump_clock: trio.abc.Clock) -> None:
    book, hub = market()
    format_ = CountingFormat()
    encoding = Encoding("counting", format_, JSON.frame)
    one, seldom = Reader(), Reader()
    subscribe(hub, SYMBOLS[:1], 1, encoding, "changes", one)
    subscribe(hub, SYMBOLS, 10, encoding, "changes", seldom)
    for seq in range(1, 101):
        move(book, SYMBOLS, seq)
        await hub.publish(seq, WALL_MS + seq)
        assert one.book == {SYMBOLS[0]: seq}
    assert seldom.book == dict.fromkeys(SYMBOLS, 100)
    assert format_.encoded == {SYMBOLS[0]: 100, **dict.fromkeys(SYMBOLS[1:], 10)}


async def test_topics_of_any_symbols_intervals_and_modes_show_what_was_published(
    autojump_clock: trio.abc.Clock,
) -> None:
    chance = random.Random(7)
    book, hub = market()
    readers: list[tuple[Reader, Sequence[str], int]] = []
    for number in range(40):
        chosen: Sequence[str] = chance.sample(SYMBOLS, chance.choice([1, 2, 25, len(SYMBOLS)]))
        reader, every = Reader(), chance.choice([1, 3, 10])
        mode: Mode = "latest" if number % 2 else "changes"
        subscribe(hub, chosen, every, JSON, mode, reader)
        readers.append((reader, chosen, every))
    shown: dict[str, int] = {}
    for seq in range(1, 201):
        moved: Sequence[str] = chance.sample(SYMBOLS, chance.choice([0, 1, 3, len(SYMBOLS)]))
        move(book, moved, seq)
        shown |= dict.fromkeys(moved, seq)
        await hub.publish(seq, WALL_MS + seq)
        for reader, chosen, every in readers:
            if seq % every == 0:
                assert reader.book == {each: shown[each] for each in chosen if each in shown}
