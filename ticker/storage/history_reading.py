"""Reading what is kept of the past: blocks, and what the journal says beyond them.

Rules for this module: for a worker thread; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import msgspec

from ticker.market.candles import HOUR, MINUTE, SECOND, Candles, ExactBar
from ticker.market.packed_bars import PackedBarsError, block_begin, unpack
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_store import HistoryStore, read_rows

__all__ = ["Key", "Read", "blocks_of", "read_everything", "read_rows_after"]

#: A block by the name of its step and its begin.
Key = tuple[str, int]
#: The steps whose bars are made of those of a step, which is the first of them.
_COARSER: Final = {
    SECOND.name: (SECOND.name, MINUTE.name, HOUR.name),
    MINUTE.name: (MINUTE.name, HOUR.name),
    HOUR.name: (HOUR.name,),
}


@attrs.define
class Read:
    """What was read of a store: the past of symbols, and the number of the journal's last row."""

    number: int = 0
    candles: dict[str, Candles] = attrs.field(factory=dict)
    due: dict[str, set[Key]] = attrs.field(factory=dict)
    foreign: tuple[str, ...] = ()


def read_everything(store: HistoryStore, names: Sequence[str], read: Read) -> None:
    """Read everything, for a worker thread; what was read is there also where it ends.

    Raises:
        DatabaseUnavailableError: the store cannot be read, or holds what makes no sense.
    """
    read.foreign = tuple(each for each in store.symbols() if each not in names)
    numbers: dict[tuple[str, str, int], int] = {}
    for name in names:
        candles = Candles()
        for block in store.blocks(name):
            numbers[name, block.step, block.begin] = block.number
            try:
                unpack(candles, block.step, block.bars)
            except (PackedBarsError, KeyError) as error:
                raise _damaged(store, error) from None
        read.candles[name] = candles
    number, rows = read_rows_after(store, 0, numbers)
    read.number = number
    for name, bars in rows.items():
        if name in read.candles:
            read.candles[name].put(bars)
            read.due[name] = {key for step, bar in bars for key in blocks_of(step, bar[0])}


def read_rows_after(
    store: HistoryStore, after: int, numbers: Mapping[tuple[str, str, int], int]
) -> tuple[int, dict[str, list[tuple[str, ExactBar]]]]:
    """Read the journal after a row, but for what blocks of some numbers have already."""
    number, found = after, dict[str, list[tuple[str, ExactBar]]]()
    for number, written in store.journal(after):
        try:
            for row in read_rows(written):
                block = row.symbol, row.step, block_begin(row.step, row.begin)
                if number > numbers.get(block, 0):
                    found.setdefault(row.symbol, []).append((row.step, row.bar()))
        except (msgspec.MsgspecError, ArithmeticError, LookupError, ValueError) as error:
            raise _damaged(store, error) from None
    return number, found


def _damaged(store: HistoryStore, error: Exception) -> DatabaseUnavailableError:
    return DatabaseUnavailableError("corrupted", f"history {store.place} is damaged: {error}")


def blocks_of(step: str, begin: int) -> list[Key]:
    """Return the blocks that a changed bar is in, and those made of it."""
    return [(each, block_begin(each, begin)) for each in _COARSER.get(step, (step,))]
