"""Which spans of the past our own bars lack, to be filled from an exchange's public candles.

Rules for this module: it decides what to ask for and takes in what comes; asking is the feed's
business. A symbol is filled by the source that its price comes from. What is asked about goes from
the newest to the oldest, the minutes first, and nothing twice in the life of a process.

A single minute without a bar is asked about where no price came for longer than a minute before the
source began: then it is that of an outage, which may lack no other minute as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import HOUR, MINUTE, SECOND, Candles, ExactBar, Step

__all__ = ["Backfill", "Span"]

#: The least number of bars in a row that are missing: a single minute may have been quiet, and is
#: asked about where it is that of an outage; any hour.
_LEAST: Final = {MINUTE.name: 2, HOUR.name: 1}
#: An outage of this many milliseconds or less is not filled.
_SHORT_MS: Final = 60_000


@attrs.frozen
class Span:
    """A span of the past that is to be asked about.

    Attributes:
        symbol: ours.
        step: of the bars.
        begin: the first bar's, in milliseconds since the epoch.
        end: of the last bar.
    """

    symbol: str
    step: Step
    begin: int
    end: int


@attrs.define
class _Progress:
    """How far a symbol and step were asked about.

    Attributes:
        done: everything older than this was.
        start: since this life began, everything from `cursor` to this was.
        cursor: see there.
        began_ms: when this life began.
    """

    began_ms: int = 0
    done: int = 0
    start: int = 0
    cursor: int = 0


class Backfill:
    """Fills the past of a market; nothing of it is known before `attach`."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._book: Book | None = None
        self._progress: dict[tuple[str, str], _Progress] = {}

    def attach(self, book: Book) -> None:
        """Learn whose past it is."""
        self._book = book

    def begin(self, symbols: Sequence[str]) -> None:
        """Learn that a source of these symbols has begun, so that there may be a new gap."""
        now_ms = self._wall_ms()
        for symbol in symbols:
            for step in (MINUTE, HOUR):
                progress = self._progress.setdefault((symbol, step.name), _Progress())
                progress.start = progress.cursor = step.begin(now_ms)
                progress.began_ms = now_ms

    def next(self, source: str, symbol: str, most: int, reach: int | None) -> Span | None:
        """Return what a source is to be asked about next, of one symbol; None for nothing.

        Args:
            source: its name.
            symbol: ours.
            most: how many bars one question may be about.
            reach: how many of the newest bars the exchange tells at all; None for any.
        """
        book = self._book
        if book is None or symbol not in book or not self._prices(source, symbol):
            return None
        if symbol in book.unread:
            return None  # what of it is missing is known once it is read
        for step in (MINUTE, HOUR):
            progress = self._progress.get((symbol, step.name))
            if progress is None:
                continue
            oldest = max(step.oldest(self._wall_ms()), progress.done)
            if reach is not None:
                oldest = max(oldest, step.begin(self._wall_ms()) - (reach - 1) * step.ms)
            least = _LEAST[step.name]
            if progress.cursor == progress.start and _was_out(book.candles(symbol), progress):
                least = 1
            gap = _gap(book.candles(symbol), step, oldest, progress.cursor, least)
            if gap is not None:
                begin = max(gap[0], gap[1] - most * step.ms)
                return Span(symbol, step, begin, gap[1])
            progress.cursor, progress.done = oldest, max(progress.done, progress.start)
        return None

    async def fill(self, span: Span, bars: Sequence[ExactBar]) -> None:
        """Take in the answer to a span, maybe empty, with turns for others in between.

        Bars outside of it, and those in which nothing was traded, are left out.
        """
        assert self._book is not None  # noqa: S101 - it was asked for by `next`
        candles = self._book.candles(span.symbol)
        good = [
            bar
            for bar in bars
            if span.begin <= bar[0] < span.end and bar[0] % span.step.ms == 0 and bar[5] != 0
        ]
        for at in range(0, len(good), limits.BACKFILL_SLICE_BARS):
            candles.fill(span.step, good[at : at + limits.BACKFILL_SLICE_BARS])
            await trio.lowlevel.checkpoint()
        progress = self._progress[span.symbol, span.step.name]
        progress.cursor = min(progress.cursor, span.begin)

    def _prices(self, source: str, symbol: str) -> bool:
        """Tell whether a symbol's price comes from a source, or first of all from it."""
        assert self._book is not None  # noqa: S101 - it was looked at before
        quote = self._book.get(symbol)
        if quote is None:
            return False
        first = quote.counted[0] if quote.counted else quote.source
        return first.partition(":")[0] == source


def _was_out(candles: Candles, progress: _Progress) -> bool:
    """Tell whether there was no price for longer than a minute before this life began."""
    since = progress.began_ms - 2 * _SHORT_MS
    seconds = candles.columns(SECOND, since, progress.began_ms)[0]
    return not seconds or progress.began_ms - seconds[-1] * SECOND.ms > _SHORT_MS


def _gap(
    candles: Candles, step: Step, oldest: int, before: int, newest: int
) -> tuple[int, int] | None:
    """Return from when to when the newest bars in a row are missing; None where none are.

    Args:
        candles: what there is.
        step: of the bars.
        oldest: when the first bar begins that counts.
        before: when the last one ends.
        newest: how many must be missing of the last ones.
    """
    least = newest
    end = before // step.ms
    for number in reversed(candles.columns(step, oldest, before)[0]):
        if end - number - 1 >= least:
            return (number + 1) * step.ms, end * step.ms
        end, least = number, _LEAST[step.name]
    first = -(-oldest // step.ms)
    return (first * step.ms, end * step.ms) if end - first >= least else None
