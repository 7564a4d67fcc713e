"""Reading what is kept of the past: blocks, and what the journal says beyond them.

Rules for this module: for a worker thread; it changes nothing.

Theory of operation. A row of the journal says the state of a bar, the newest row says the state
that counts. But for one kind: what came in before a start had read the past is written as a
**part** of its second, with the name of that process's life. The parts of several lives are counted
in one after the other, after the state before them; a state that comes later holds them all.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Final

import attrs

from ticker.market.candles import HOUR, MINUTE, SECOND, Candles, ExactBar
from ticker.market.packed_bars import SPANS, PackedBarsError, block_begin, unpack
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.history_records import PART, read_rows
from ticker.storage.history_store import Block, DamagedRecordError, HistoryStore, JournalRow

__all__ = [
    "JournalStates",
    "Key",
    "blocks_of",
    "good_blocks",
    "only_damaged",
    "part_of",
    "read_blocks",
    "read_journal",
]

#: A block by the name of its step and its begin.
Key = tuple[str, int]
#: The steps whose bars are made of those of a step, which is the first of them.
_COARSER: Final = {
    SECOND.name: (SECOND.name, MINUTE.name, HOUR.name),
    MINUTE.name: (MINUTE.name, HOUR.name),
    HOUR.name: (HOUR.name,),
}


def part_of(step: str, life: str) -> str:
    """Return how the journal names the part of a bar that came in a process's life."""
    return f"{step}{PART}{life}"


@attrs.define
class JournalStates:
    """What the journal says of one symbol.

    Attributes:
        bars: the newest state of each bar with the number of its row, by step and begin.
        parts: of seconds, by begin and life, in the order of the lives.
    """

    bars: dict[Key, tuple[int, ExactBar]] = attrs.field(factory=dict)
    parts: dict[int, dict[str, tuple[int, ExactBar]]] = attrs.field(factory=dict)

    def add(self, number: int, row: JournalRow) -> None:
        """Take in a row; those of the journal come in their order."""
        step, _, life = row.step.partition(PART)
        bar = row.bar()
        if life:
            self.parts.setdefault(bar[0], {})[life] = number, bar
        else:
            self.bars[step, bar[0]] = number, bar
            if step == SECOND.name and self.parts:
                self.parts.pop(bar[0], None)

    def put(
        self,
        candles: Candles,
        numbers: Mapping[Key, int],
        *,
        until_ms: int | None = None,
        life: str = "",
    ) -> None:
        """Put it into bars.

        Args:
            candles: what was known before.
            numbers: the rows as of which its blocks are: only later ones say more.
            until_ms: no bar that begins later counts.
            life: whose parts are left out: who reads has them.
        """

        def counts(step: str, begin: int, number: int) -> bool:
            known = numbers.get((step, block_begin(step, begin)))
            if known is None:
                # Its block has grown too old, maybe: what was made of it is in those of coarser
                # steps, and would be made anew of the few seconds that the journal still has.
                known = max(numbers.get(key, 0) for key in blocks_of(step, begin))
            return number > known and (until_ms is None or begin <= until_ms)

        candles.put(
            (step, bar)
            for (step, begin), (number, bar) in self.bars.items()
            if counts(step, begin, number)
        )
        for begin, parts in sorted(self.parts.items()):
            for each, (number, bar) in parts.items():
                if each != life and counts(SECOND.name, begin, number):
                    candles.count_in(bar)

    def due(self) -> set[Key]:
        """Return the blocks that it is ahead of, maybe."""
        changed = {(step, block_begin(step, begin)) for step, begin in self.bars}
        changed |= {(SECOND.name, block_begin(SECOND.name, begin)) for begin in self.parts}
        return {key for each in changed for key in blocks_of(*each)}


def read_journal(
    rows: Sequence[tuple[int, object]],
    states: dict[str, JournalStates],
    place: str,
    damage: list[DatabaseUnavailableError],
) -> Iterator[int]:
    """Take in rows of the journal, by symbol; gives the number of each when it is taken in.

    Rows that are damaged are left out, and told of in `damage`.
    """
    for number, written in sorted(rows, key=itemgetter(0)):
        try:
            found = read_rows(number, written)
        except DamagedRecordError as error:
            damage.append(_damaged(place, error))
        else:
            for row in found:
                known = states.get(row.symbol)
                if known is None:
                    known = states[row.symbol] = JournalStates()
                known.add(number, row)
        yield number


def read_blocks(
    store: HistoryStore, name: str, damage: list[DatabaseUnavailableError]
) -> tuple[Candles, dict[Key, int]]:
    """Read the blocks of a symbol, and the rows of the journal as of which they are.

    Those that are damaged are left out, and told of in `damage`.

    Raises:
        DatabaseUnavailableError: the store cannot be read.
    """
    candles, numbers = Candles(), dict[Key, int]()
    for block in good_blocks(store, name, damage):
        try:
            unpack(candles, block.step, block.begin, block.bars, checked=block.checked)
        except PackedBarsError as error:
            damage.append(_damaged(store.place, error))
        else:
            numbers[block.step, block.begin] = block.number
    _note_lost(candles, numbers)
    return candles, numbers


def _note_lost(candles: Candles, numbers: Container[Key]) -> None:
    """Have bars widened, and not made anew, of which the block of finer bars is lost or too old.

    Args:
        candles: what blocks have.
        numbers: the blocks that there are.
    """
    for finer, coarser in ((SECOND, MINUTE), (MINUTE, HOUR)):
        fine, coarse = candles.series(finer.name), candles.series(coarser.name)
        span = SPANS[finer.name]
        first, last = coarse.first_begin(), coarse.last_begin()
        if first is None or last is None:
            continue
        for begin in range(block_begin(finer.name, last), first - span, -span):
            known = (finer.name, begin) in numbers
            if not known and coarse.columns(begin, begin + span)[0]:
                fine.complete_from = max(fine.complete_from, begin + span)
                break


def good_blocks(
    store: HistoryStore, name: str, damage: list[DatabaseUnavailableError]
) -> list[Block]:
    """Return the blocks of a symbol that are not damaged, by step and begin; see `read_blocks`."""
    good: list[Block] = []
    try:
        for block in store.blocks(name):
            if isinstance(block, DamagedRecordError):
                damage.append(_damaged(store.place, block))
            else:
                good.append(block)
    except DatabaseUnavailableError as error:
        only_damaged(error, damage)
    # A damaged file may have them in another order, and an old one beside the one after it.
    newest = {(each.step, each.begin): each for each in sorted(good, key=attrgetter("number"))}
    return [newest[key] for key in sorted(newest)]


def only_damaged(error: DatabaseUnavailableError, damage: list[DatabaseUnavailableError]) -> None:
    """Go on where a part is damaged; else raise."""
    if error.reason != "corrupted":
        raise error
    damage.append(error)


def _damaged(place: str, error: Exception) -> DatabaseUnavailableError:
    return DatabaseUnavailableError("corrupted", f"history {place} is damaged: {error}")


@lru_cache(maxsize=64)  # all symbols ask for the same few bars
def blocks_of(step: str, begin: int) -> Sequence[Key]:
    """Return the blocks that a changed bar is in, and those made of it."""
    return tuple((each, block_begin(each, begin)) for each in _COARSER.get(step, (step,)))
