"""What was published: the market of every subscriber at one `seq`.

The book moves whenever a source brings quotes; subscribers see it move only tick by tick. What
they are shown under a `seq` is kept here until the next tick, so that a `seq` never has two
different prices, to any reader at any time: a subscriber that was behind, or `GET /prices`.

For each symbol it is known at which tick a field last changed that a detail shows, so that a
subscriber can be brought from any earlier tick to the last one, as far as it is proved that the
tick was of the same line (`ticker.market.epochs`).

A process that follows another one's market publishes what that one did: tick by tick, or, where
it has missed some, by `load`.

Rules for this module: values only, no clock and no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ticker.market.book import Book
from ticker.market.epochs import Epochs, Span, new_epoch
from ticker.market.quote import Details, Quote, in_full
from ticker.protocol.details import DETAILS, Detail


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One symbol as it was published, and the last ticks that changed it.

    Attributes:
        price_seq: the last tick that changed something which the detail `price` shows.
        full_seq: the same of the detail `full`.
        quote: the symbol's quote.
        day: the figures of its last 24 hours from the bars of the process that published it.
    """

    price_seq: int
    full_seq: int
    quote: Quote
    day: Details | None = None


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """Everything that is published as of one tick.

    Attributes:
        spans: the epochs.
        seq: the tick.
        time_ms: when it was.
        rows: every quote.
    """

    spans: Sequence[Span]
    seq: int
    time_ms: int
    rows: Sequence[Row]


class Published:
    """The quotes as of the last tick.

    Attributes:
        epoch: of the last tick; drawn at each start, and by each process that takes over.
        epochs: that of each `seq`.
        seq: the tick's number; 0 before the first, when nothing is published.
        time_ms: when it was published, in milliseconds since the epoch of Unix.
        quotes: the quote of each symbol at that tick, in the book's places; None before its first.
        days: the figures of 24 hours from our own bars at that tick, in the same places.
        changed: the places in which the last tick changed something that a detail shows.
    """

    __slots__ = (
        "_before",
        "_book",
        "_changed_at",
        "changed",
        "days",
        "epoch",
        "epochs",
        "quotes",
        "seq",
        "time_ms",
    )

    def __init__(self, book: Book, *, time_ms: int) -> None:
        self._book = book
        # The seq of each place's last change, the latest last.
        shared: dict[int, int] = {}
        self._changed_at: dict[Detail, dict[int, int]] = {"price": shared, "full": shared}
        self.epoch = new_epoch()
        self.epochs = Epochs([Span(self.epoch, 0)])
        self.seq = self._before = 0
        self.time_ms = time_ms
        self.quotes: list[Quote | None] = [None] * len(book.symbols)
        self.days: list[Details | None] = [None] * len(book.symbols)
        self.changed: Mapping[Detail, tuple[int, ...]] = dict.fromkeys(DETAILS, ())

    def get(self, symbol: str) -> Quote | None:
        """Return a symbol's quote, None before its first; KeyError if it is unknown."""
        return self.quotes[self._book.place(symbol)]

    def in_full(self, symbol: str) -> Quote | None:
        """Return a symbol's quote as the detail `full` shows it; as `get`."""
        return self.shown(self._book.place(symbol), "full")

    def shown(self, place: int, detail: Detail) -> Quote | None:
        """Return the quote at a place as a detail shows it, None before its first."""
        quote = self.quotes[place]
        return quote if detail == "price" or quote is None else in_full(quote, self.days[place])

    def proves(self, epoch: str, seq: int) -> bool:
        """Say whether a tick was of this line, so that what changed since is known."""
        return self.epochs.proves(epoch, seq, self.seq)

    def begin_epoch(self, epoch: str, first: int) -> None:
        """Go on in another epoch: the ticks from `first` on, which is yet to come, are in it."""
        self.epochs.begin(epoch, first)
        self.epoch = epoch

    def tick(
        self,
        seq: int,
        time_ms: int,
        taken: Iterable[Quote] | None = None,
        days: Mapping[int, Details | None] | None = None,
    ) -> None:
        """Publish the next `seq`.

        Args:
            seq: greater than the last.
            time_ms: now.
            taken: the newest quotes of what `Book.take` gave; None for what it gives now.
            days: the figures of 24 hours that moved, by place; None for those that the book says.
        """
        self._before, self.seq = self.seq, seq
        self.time_ms = time_ms
        quotes, place_of = self.quotes, self._book.place
        price, rest = [], []
        for new in self._book.take()[0] if taken is None else taken:
            place = place_of(new.symbol)
            old = quotes[place]
            quotes[place] = new
            # What the detail `price` shows, to the last digit; most quotes differ in the first.
            if (
                old is not None
                and old.price == new.price
                and old.time_ms // 1000 == new.time_ms // 1000
                and old.source == new.source
                and not old.price.compare_total(new.price)
            ):
                if not _rest_alike(old, new):
                    rest.append(place)
                continue
            price.append(place)
        if days is None:
            book = self._book
            days = {place: book.days[place] for place in book.take_moved_days()}
        if days:
            for place, day in days.items():
                self.days[place] = day
            rest += self._differing(days.keys() - {*price, *rest})
        changed = tuple(price)
        self.changed = {"price": changed, "full": (*changed, *rest) if rest else changed}
        self._note(price, rest)

    def snapshot(self) -> Snapshot:
        """Return everything, for another process to `load`."""
        price, full = self._changed_at["price"], self._changed_at["full"]
        rows = [
            Row(price.get(place, 0), full.get(place, 0), quote, self.days[place])
            for place, quote in enumerate(self.quotes)
            if quote is not None
        ]
        return Snapshot(self.epochs.spans, self.seq, self.time_ms, rows)

    def load(self, snapshot: Snapshot) -> bool:
        """Publish what another process has published, in the place of everything here.

        Returns:
            Whether the last tick here is proved to be on that line: what differs has changed since.
        """
        epochs, rows = Epochs(snapshot.spans), snapshot.rows
        proved = epochs.proves(self.epoch, self.seq, snapshot.seq)
        before = self.seq if proved else -1
        placed = [
            (self._book.place(row.quote.symbol), row)
            for row in rows
            if row.quote.symbol in self._book
        ]
        if not proved:
            self.quotes[:] = [None] * len(self.quotes)
            self.days[:] = [None] * len(self.days)
        for place, row in placed:
            self.quotes[place], self.days[place] = row.quote, row.day
        self._changed_at = {
            "price": {p: at for at, p in sorted((row.price_seq, p) for p, row in placed)},
            "full": {p: at for at, p in sorted((row.full_seq, p) for p, row in placed)},
        }
        self.epochs, self.epoch = epochs, epochs.current.epoch
        self.seq = self._before = snapshot.seq
        self.time_ms = snapshot.time_ms
        self.changed = {detail: tuple(self.changed_since(before, detail)) for detail in DETAILS}
        return proved

    def changed_since(self, seq: int, detail: Detail) -> Sequence[int]:
        """Return the places in which something changed after a tick, in no particular order.

        It takes time for as many as there are, however many others did not change.
        """
        if seq == self._before < self.seq:
            return self.changed[detail]
        places = []
        for place, changed_at in reversed(self._changed_at[detail].items()):
            if changed_at <= seq:
                break
            places.append(place)
        return places

    def changed_quotes(self) -> tuple[Quote, ...]:
        """Return the quotes of what the last tick changed that the detail `full` shows."""
        # There is none without a quote among them.
        return tuple(map(self.quotes.__getitem__, self.changed["full"]))  # type: ignore[arg-type]

    def changed_days(self) -> tuple[Details | None, ...]:
        """Return their figures of 24 hours from our own bars."""
        return tuple(map(self.days.__getitem__, self.changed["full"]))

    def _differing(self, places: Iterable[int]) -> list[int]:
        """Return those of some places whose figures of 24 hours are those of our own bars."""
        return [
            place
            for place in places
            if (quote := self.quotes[place]) is not None
            and (quote.details is None or not quote.details.has_day)
        ]

    def _note(self, price: Sequence[int], rest: Sequence[int]) -> None:
        """Note the places that changed in what `price` shows, and in what only `full` does."""
        if rest and self._changed_at["price"] is self._changed_at["full"]:
            # From here on they differ; until then one serves both.
            self._changed_at["full"] = dict(self._changed_at["price"])
        seq, in_price, in_full = self.seq, self._changed_at["price"], self._changed_at["full"]
        for place in price:
            in_price.pop(place, None)
            in_price[place] = seq
        if in_full is not in_price:
            for place in (*price, *rest):
                in_full.pop(place, None)
                in_full[place] = seq


def _rest_alike(old: Quote, new: Quote) -> bool:
    """Whether two quotes agree, to the last digit, in what only the detail `full` shows."""
    if old.details is new.details:
        return True
    return old.details == new.details and repr(old.details) == repr(new.details)
