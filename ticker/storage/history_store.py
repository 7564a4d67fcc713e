"""What is kept of the market's past, whatever kind of store it is in.

A store has **blocks**, which are the bars of one symbol, step and span of time as bytes
(`market.packed_bars`), and a **journal**: what has changed since in bars, a row a second for all
symbols. Blocks are written in turn, some minutes apart; the journal makes up for that. A block has
the number of the journal's last row as of which it is: of its bars, only later rows say more. What
both say is the state of a bar, so that nothing is counted twice.

`ticker/storage/history_sqlite.py` is one kind, `ticker/storage/history_postgres.py` another. What
they read may be damaged: `history_records` says how that is told. Rules for this module: values
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

import attrs
import msgspec

from ticker.market.candles import ExactBar

__all__ = ["Block", "Changes", "DamagedRecordError", "HistoryStore", "JournalRow"]


class DamagedRecordError(ValueError):
    """A block or a row of the journal is not what was written."""


@attrs.frozen
class Block:
    """The bars of a span of time.

    Attributes:
        symbol: as in `BTC-USD`, or `simulated/BTC-USD` where its prices are made up.
        step: the name of their step; with `*` where they are an exchange's own.
        begin: of the span, in milliseconds since the epoch.
        bars: see `market.packed_bars`.
        number: of the journal's row as of which it is, where it was read.
        checked: whether a checksum told that the bars are as they were written.
    """

    symbol: str
    step: str
    begin: int
    bars: bytes = attrs.field(repr=False)
    number: int = 0
    checked: bool = True


class JournalRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One bar as it is now, in decimals; see `market.candles.ExactBar`."""

    symbol: str
    step: str
    begin: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None

    def bar(self) -> ExactBar:
        """Return the bar."""
        return self.begin, self.open, self.high, self.low, self.close, self.volume


@attrs.frozen
class Changes:
    """What one transaction writes.

    Attributes:
        journal: a row of the journal (see `history_records.write_rows`); empty for none.
        blocks: in the place of those of the same symbol, step and begin.
        expired: for a symbol and a step, the begin before which its blocks are to go.
        forget: rows of the journal with a lower number are to go.
    """

    journal: bytes = b""
    blocks: Sequence[Block] = ()
    expired: Sequence[tuple[str, str, int]] = ()
    forget: int = 0


class HistoryStore(Protocol):
    """Keeps the past. Methods block and are called one at a time, from any thread.

    Every one raises `DatabaseUnavailableError` where something is wrong with the store.
    """

    @property
    def place(self) -> str:
        """Where it is, for people; no credentials are in it."""

    def symbols(self) -> Sequence[str]:
        """Return the symbols that there are blocks of."""

    def blocks(self, symbol: str) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of a symbol, by step and begin; for a damaged one what is wrong."""

    def journal(self, after: int = 0) -> Sequence[tuple[int, object]]:
        """Return the journal's rows above a number, with their numbers, which only grow.

        They are for `history_records.read_rows`, which tells where one is damaged.
        """

    def filled(self, after: int) -> Sequence[Block | DamagedRecordError]:
        """Return the blocks of exchanges' own bars that were written after a row of the journal."""

    def write(self, changes: Changes) -> int:
        """Write all of it or nothing; return the number of the journal's last row.

        The blocks are as of that row.
        """

    def tidy(self) -> None:
        """Do what may take long and must not hold up a writing; in a thread beside the others."""

    def set_aside(self) -> str | None:
        """Put what is damaged out of the way, without deleting it; return where it is now.

        None where this kind of store has nothing to put aside.
        """

    def close(self) -> None:
        """Close it; it may be used again."""
