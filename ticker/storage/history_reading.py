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
from ticker.storage.history_store import Block, HistoryStore, read_rows

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

    Where something is damaged, all else is read.

    Raises:
        DatabaseUnavailableError: the store cannot be read, or some of it is damaged.
    """
    numbers: dict[tuple[str, str, int], int] = {}
    damage: list[DatabaseUnavailableError] = []
    try:
        read.foreign = tuple(each for each in store.symbols() if each not in names)
    except DatabaseUnavailableError as error:
        _only_damaged(error, damage)
    for name in names:
        read.candles[name] = _read_blocks(store, name, numbers, damage)
    try:
        number, rows = read_rows_after(store, 0, numbers, damage)
    except DatabaseUnavailableError as error:
        _only_damaged(error, damage)
    else:
        read.number = number
        for name, bars in rows.items():
            if name in read.candles:
                read.candles[name].put(bars)
                changed = {(step, block_begin(step, bar[0])) for step, bar in bars}
                read.due[name] = {key for each in changed for key in blocks_of(*each)}
    if damage:
        raise damage[0]


def _read_blocks(
    store: HistoryStore,
    name: str,
    numbers: dict[tuple[str, str, int], int],
    damage: list[DatabaseUnavailableError],
) -> Candles:
    candles = Candles()
    blocks: Sequence[Block] = ()
    try:
        blocks = store.blocks(name)
    except DatabaseUnavailableError as error:
        _only_damaged(error, damage)
    for block in blocks:
        try:
            unpack(candles, block.step, block.bars)
        except (PackedBarsError, KeyError) as error:
            damage.append(_damaged(store, error))
        else:
            numbers[name, block.step, block.begin] = block.number
    return candles


def _only_damaged(error: DatabaseUnavailableError, damage: list[DatabaseUnavailableError]) -> None:
    """Go on where a part is damaged; else raise."""
    if error.reason != "corrupted":
        raise error
    damage.append(error)


def read_rows_after(
    store: HistoryStore,
    after: int,
    numbers: Mapping[tuple[str, str, int], int],
    damage: list[DatabaseUnavailableError],
) -> tuple[int, dict[str, list[tuple[str, ExactBar]]]]:
    """Read the journal after a row, but for what blocks of some numbers have already.

    Rows that are damaged are left out, and told of in `damage`.
    """
    number, found = after, dict[str, list[tuple[str, ExactBar]]]()
    for number, written in store.journal(after):
        try:
            rows = [(row.symbol, row.step, row.bar()) for row in read_rows(written)]
            blocks = [(symbol, step, block_begin(step, bar[0])) for symbol, step, bar in rows]
        except (msgspec.MsgspecError, ArithmeticError, LookupError, ValueError) as error:
            damage.append(_damaged(store, error))
            continue
        for (symbol, step, bar), block in zip(rows, blocks, strict=True):
            if number > numbers.get(block, 0):
                found.setdefault(symbol, []).append((step, bar))
    return number, found


def _damaged(store: HistoryStore, error: Exception) -> DatabaseUnavailableError:
    return DatabaseUnavailableError("corrupted", f"history {store.place} is damaged: {error}")


def blocks_of(step: str, begin: int) -> list[Key]:
    """Return the blocks that a changed bar is in, and those made of it."""
    return [(each, block_begin(each, begin)) for each in _COARSER.get(step, (step,))]
