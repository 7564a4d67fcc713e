"""What was published: the market of every subscriber at one `seq`.

The book moves whenever a source brings quotes; subscribers see it move only tick by tick. What
they are shown under a `seq` is kept here until the next tick, so that a `seq` never has two
different prices, whoever asks and whenever: a subscriber that was behind, or `GET /prices`.

Rules for this module: values only, no clock and no I/O.
"""

from __future__ import annotations

from ticker.market.book import Book
from ticker.market.quote import Quote


class Published:
    """The quotes as of the last tick.

    Attributes:
        seq: the tick's number; 0 before the first, when nothing is published.
        time_ms: when it was published, in milliseconds since the epoch.
        quotes: the quote of each symbol at that tick, in the book's places; None before its first.
    """

    __slots__ = ("_book", "_changed_at", "quotes", "seq", "time_ms")

    def __init__(self, book: Book, *, time_ms: int) -> None:
        self._book = book
        # The seq of each place's last change, the latest last.
        self._changed_at: dict[int, int] = {}
        self.seq = 0
        self.time_ms = time_ms
        self.quotes: list[Quote | None] = [None] * len(book.symbols)

    def get(self, symbol: str) -> Quote | None:
        """Return a symbol's quote, None before its first; KeyError if it is unknown."""
        return self.quotes[self._book.place(symbol)]

    def tick(self, seq: int, time_ms: int) -> None:
        """Publish what the book holds now under the next `seq`."""
        self.seq = seq
        self.time_ms = time_ms
        current, quotes, changed_at = self._book.quotes, self.quotes, self._changed_at
        for place in self._book.take_touched():
            quotes[place] = current[place]
            changed_at.pop(place, None)
            changed_at[place] = seq

    def changed_since(self, seq: int) -> list[int]:
        """Return the places whose quote was replaced after a tick, the latest first.

        It takes time for as many as there are, however many others did not change.
        """
        places = []
        for place, changed_at in reversed(self._changed_at.items()):
            if changed_at <= seq:
                break
            places.append(place)
        return places
