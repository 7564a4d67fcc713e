"""What was published: the market of every subscriber at one `seq`.

The book moves whenever a source brings quotes; subscribers see it move only tick by tick. What
they are shown under a `seq` is kept here until the next tick, so that a `seq` never has two
different prices, to any reader at any time: a subscriber that was behind, or `GET /prices`.

For each symbol it is known at which tick a field last changed that a detail shows, so that a
subscriber can be brought from any earlier tick of the same epoch to the last one.

Rules for this module: values only, no clock and no I/O.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from ticker.market.book import Book
from ticker.market.quote import Quote
from ticker.protocol.details import DETAILS, FULL_FIELDS, Detail

#: Bytes of chance in an epoch: no two starts ever share one.
_EPOCH_BYTES = 8


class Published:
    """The quotes as of the last tick.

    Attributes:
        epoch: drawn at each start; only within one epoch can two `seq` be compared.
        seq: the tick's number; 0 before the first, when nothing is published.
        time_ms: when it was published, in milliseconds since the epoch of Unix.
        quotes: the quote of each symbol at that tick, in the book's places; None before its first.
        changed: the places in which the last tick changed something that a detail shows.
    """

    __slots__ = ("_book", "_changed_at", "changed", "epoch", "quotes", "seq", "time_ms")

    def __init__(self, book: Book, *, time_ms: int) -> None:
        self._book = book
        # The seq of each place's last change, the latest last.
        shared: dict[int, int] = {}
        self._changed_at: dict[Detail, dict[int, int]] = {"price": shared, "full": shared}
        self.epoch = secrets.token_hex(_EPOCH_BYTES)
        self.seq = 0
        self.time_ms = time_ms
        self.quotes: list[Quote | None] = [None] * len(book.symbols)
        self.changed: Mapping[Detail, tuple[int, ...]] = dict.fromkeys(DETAILS, ())

    def get(self, symbol: str) -> Quote | None:
        """Return a symbol's quote, None before its first; KeyError if it is unknown."""
        return self.quotes[self._book.place(symbol)]

    def tick(self, seq: int, time_ms: int) -> None:
        """Publish what the book holds now under the next `seq`."""
        self.seq = seq
        self.time_ms = time_ms
        current, quotes = self._book.quotes, self.quotes
        price, rest = [], []
        for place in self._book.take_touched():
            new, old = current[place], quotes[place]
            quotes[place] = new
            # What the detail `price` shows, to the last digit; most quotes differ in the first.
            if new is None or (
                old is not None
                and old.price == new.price
                and old.time_ms // 1000 == new.time_ms // 1000
                and old.source == new.source
                and not old.price.compare_total(new.price)
            ):
                if new is not None and old is not None and not _rest_alike(old, new):
                    rest.append(place)
                continue
            price.append(place)
        changed = tuple(price)
        self.changed = {"price": changed, "full": (*changed, *rest) if rest else changed}
        self._note(price, rest)

    def changed_since(self, seq: int, detail: Detail) -> list[int]:
        """Return the places in which something changed after a tick, the latest first.

        It takes time for as many as there are, however many others did not change.
        """
        places = []
        for place, changed_at in reversed(self._changed_at[detail].items()):
            if changed_at <= seq:
                break
            places.append(place)
        return places

    def _note(self, price: Sequence[int], rest: Sequence[int]) -> None:
        """Note the places that changed in what `price` shows, and in what only `full` does."""
        if rest and self._changed_at["price"] is self._changed_at["full"]:
            # From here on they differ; until then one serves both.
            self._changed_at["full"] = dict(self._changed_at["price"])
        seq = self.seq
        for changed_at in {id(each): each for each in self._changed_at.values()}.values():
            for place in price:
                changed_at.pop(place, None)
                changed_at[place] = seq
        for place in rest:
            self._changed_at["full"].pop(place, None)
            self._changed_at["full"][place] = seq


def _rest_alike(old: Quote, new: Quote) -> bool:
    """Whether two quotes agree in what only the detail `full` shows."""
    return all(getattr(old, name) == getattr(new, name) for name in FULL_FIELDS)
