"""What of a market's past is still to be written: changed bars, and blocks that are due.

Rules for this module: no I/O; it decides what one writing takes, with turns for others while that
is put together. What could not be written comes back by `put_back`.

Theory of operation. A changed bar goes into the journal with the next writing, and makes the
blocks due that it is in. Each symbol's blocks have their turn once in `limits.HISTORY_TURNS`
writings. Those that are due out of turn (a store that is begun anew, an outage that is over) are
behind, and taken a few symbols at a time: fewer while writing is slow, so that the journal, which
is what a kill must not find unwritten, never waits long for them.

Of a symbol whose past is not read yet, parts of seconds go into the journal and nothing else does
(`history_reading` says what a part is): its blocks and all that is older wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import attrs
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import HOUR, SECOND, STEPS, ExactBar
from ticker.market.packed_bars import SPANS, block_begin, pack
from ticker.storage.history_reading import Key, blocks_of, part_of
from ticker.storage.history_store import Block, JournalRow

__all__ = ["PendingChanges", "Taken"]

_EVER: Final = 2**63 - 1
_EVERY: Final = (*STEPS, *(f"{name}*" for name in STEPS))


@attrs.frozen
class Taken:
    """What one writing takes.

    Attributes:
        rows: of the journal.
        blocks: packed.
        expired: blocks that are to go; see `Changes`.
        forget: rows of the journal with a lower number are to go.
        keys: the blocks by the place of their symbol.
        changed: the bars of the rows, by the place of their symbol.
    """

    rows: Sequence[JournalRow]
    blocks: Sequence[Block]
    expired: Sequence[tuple[str, str, int]]
    forget: int
    keys: Mapping[int, set[Key]]
    changed: Mapping[int, set[Key]]


class PendingChanges:
    """What of the past of a market is to be written.

    Attributes:
        number: of the journal's last row, as far as it is known.
        foreign: symbols of the store that the market does not have, until they were looked at.
    """

    def __init__(
        self,
        book: Book,
        names: Sequence[str],
        wall_ms: Callable[[], int],
        unread: Collection[str] = (),
        life: str = "",
    ) -> None:
        """Begin with nothing.

        Args:
            book: whose past it is.
            names: of its symbols, as the store has them.
            wall_ms: the wall clock, in milliseconds since the epoch.
            unread: the names whose past is not read yet, as it is at any time.
            life: the name of this process's life, for their parts.
        """
        self._unread = unread
        self._life = life
        self._book = book
        self._names = names
        self._wall_ms = wall_ms
        self._turn = 0
        self._mark = 0
        self._clean = False
        self._most_behind = limits.HISTORY_BLOCKS_AT_ONCE
        self._due: list[set[Key]] = [set() for _ in names]
        self._behind: dict[int, None] = {}
        self.number = 0
        self.foreign: Sequence[str] = ()

    def loaded(self, number: int, due: Mapping[int, set[Key]], foreign: Sequence[str]) -> None:
        """Learn what a store has: its last row, and blocks that its journal is ahead of."""
        for place, keys in due.items():
            self._due[place] |= keys
        self.number = self._mark = number
        self.foreign = foreign

    async def begin(self) -> None:
        """Begin to write, maybe anew: what a store or a feeder before may lack is written too.

        Its last seconds are in the first row of the journal, all others in blocks soon; all of them
        are in that row where blocks must wait.
        """
        self._clean = False
        now_ms = self._wall_ms()
        since = now_ms - limits.HISTORY_OVERLAP_SECONDS * 1000
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            candles.settle()
            seconds = candles.series(SECOND.name)
            span = (since, now_ms + HOUR.ms)
            if self._names[place] in self._unread:
                span = (0, _EVER)
            recent = seconds.columns(*span)[0]
            known = candles.unsaved or set()
            candles.unsaved = known | {(SECOND.name, number * SECOND.ms) for number in recent}
            for begin in seconds.spans(SPANS[SECOND.name]):
                self._due[place].update(blocks_of(SECOND.name, begin))
                self._behind[place] = None
            if place % limits.PAST_SLICE == limits.PAST_SLICE - 1:
                await trio.lowlevel.checkpoint()

    def end(self) -> None:
        """Note no more what changes: another process writes it."""
        for symbol in self._book.symbols:
            self._book.candles(symbol).unsaved = None

    def all_due(self) -> None:
        """Have everything written, since nothing that is here may be kept."""
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            for step in candles.names():
                spans = candles.series(step).spans(SPANS[step.removesuffix("*")])
                self._due[place] |= {(step, begin) for begin in spans}
            if self._due[place]:
                self._behind[place] = None
        self.number = 0

    # --- one writing

    async def take(self) -> Taken:
        """Take what is to be written now, with turns for others in between.

        The blocks are taken after the rows, so that they hold all that the rows say.
        """
        rows, changed = await self._changed()
        turn = self._turn = (self._turn + 1) % limits.HISTORY_TURNS
        blocks, keys = await self._blocks(range(turn, len(self._due), limits.HISTORY_TURNS))
        forget = 0
        if turn == 0:
            # All that was written before the last round began is in blocks by now.
            forget = self._mark + 1 if self._clean and not self._behind else 0
            self._mark, self._clean = self.number, not self._unread
        return Taken(rows, blocks, self._expired(turn), forget, keys, changed)

    def put_back(self, taken: Taken) -> None:
        """Take back what could not be written.

        The rows go into the next one of the journal, unless there are very many: then what they
        say is only in blocks, which are due.
        """
        self._clean = False
        for place, keys in taken.keys.items():
            self._due[place] |= keys
        self._behind.update(dict.fromkeys([*taken.keys, *taken.changed]))
        if len(taken.rows) > limits.HISTORY_ROWS_AGAIN:
            return
        for place, keys in taken.changed.items():
            candles = self._book.candles(self._book.symbols[place])
            candles.settle()
            if candles.unsaved is not None:
                candles.unsaved |= keys

    def written(self, taken: Taken, number: int, seconds: float) -> bool:
        """Learn that it was written, up to which row of the journal, and how long that took.

        Returns:
            Whether the store still had all rows before. Else it is another, or an older state.
        """
        complete = number - bool(taken.rows) >= self.number
        self.number = number
        self.foreign = ()
        if seconds > limits.HISTORY_SLOW_SECONDS:
            self._most_behind = max(1, self._most_behind // 2)
        else:
            self._most_behind = min(limits.HISTORY_BLOCKS_AT_ONCE, self._most_behind * 2)
        return complete

    async def _changed(self) -> tuple[list[JournalRow], dict[int, set[Key]]]:
        """Return the bars that have changed since the last time."""
        rows: list[JournalRow] = []
        taken: dict[int, set[Key]] = {}
        room = limits.HISTORY_SLICE_ROWS
        for place, symbol in enumerate(self._book.symbols):
            candles = self._book.candles(symbol)
            changed = candles.take_unsaved()
            if changed and self._names[place] in self._unread:
                parts = self._parts(place, changed)
                rows += parts
                taken[place] = {(SECOND.name, row.begin) for row in parts}
            elif changed:
                due, name = self._due[place], self._names[place]
                for step, begin, bar in changed:
                    due.update(blocks_of(step, begin))
                    if bar is None:
                        self._behind[place] = None  # others only have it from there
                    else:
                        rows.append(JournalRow(name, step, *bar))
                taken[place] = {(step, begin) for step, begin, bar in changed if bar is not None}
            room -= 1 + len(changed)
            if room <= 0:
                await trio.lowlevel.checkpoint()
                room = limits.HISTORY_SLICE_ROWS
        return rows, taken

    def _parts(
        self, place: int, changed: Sequence[tuple[str, int, ExactBar | None]]
    ) -> list[JournalRow]:
        """Return the rows of what changed before the past of a symbol was read."""
        rows: list[JournalRow] = []
        candles = self._book.candles(self._book.symbols[place])
        for step, begin, bar in changed:
            self._due[place].update(blocks_of(step, begin))
            if bar is not None and step == SECOND.name:
                rows.append(JournalRow(self._names[place], part_of(step, self._life), *bar))
            elif candles.unsaved is not None:
                candles.unsaved.add((step, begin))
        return rows

    async def _blocks(self, turn: Sequence[int]) -> tuple[list[Block], dict[int, set[Key]]]:
        """Return the blocks of the symbols whose turn it is, and of some that are behind."""
        self._behind.update((place, None) for place in turn if self._due[place])
        most = self._most_behind + (len(turn) if self._most_behind > 1 else 0)
        first = dict.fromkeys([*(place for place in turn if self._due[place]), *self._behind])
        if self._unread:
            first = {place: None for place in first if self._names[place] not in self._unread}
        blocks: list[Block] = []
        taken: dict[int, set[Key]] = {}
        room = limits.HISTORY_SLICE_BLOCKS
        for place in [*first][:most]:
            self._behind.pop(place, None)
            name, candles = self._names[place], self._book.candles(self._book.symbols[place])
            keys, self._due[place] = self._due[place], set()
            if keys:
                taken[place] = keys
            for step, begin in keys:
                blocks.append(Block(name, step, begin, pack(candles, step, begin)))
                room -= 1
                if not room:
                    await trio.lowlevel.checkpoint()
                    room = limits.HISTORY_SLICE_BLOCKS
        return blocks, taken

    def _expired(self, turn: int) -> list[tuple[str, str, int]]:
        """Return what has grown too old of the symbols whose turn it is, and of foreign ones."""
        now_ms = self._wall_ms()
        found: list[tuple[str, str, int]] = []
        for place in range(turn, len(self._names), limits.HISTORY_TURNS):
            if self._names[place] in self._unread:
                continue
            candles = self._book.candles(self._book.symbols[place])
            for step in _EVERY:
                oldest = STEPS[step.removesuffix("*")].oldest(now_ms)
                # What is still in memory stays for as long as the clock may be ahead.
                held = candles.series(step).first_begin() if step in candles.names() else None
                if held is not None and held < oldest:
                    oldest = max(held, oldest - limits.HISTORY_CLOCK_AHEAD_MS)
                found.append((self._names[place], step, block_begin(step, oldest)))
        for name in self.foreign:
            for step in _EVERY:
                oldest = STEPS[step.removesuffix("*")].oldest(now_ms)
                found.append((name, step, block_begin(step, oldest)))
        return found
