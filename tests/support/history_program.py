"""A program that publishes a price each tick and keeps the past, to be killed at any moment."""

from __future__ import annotations

import mmap
import struct
import time
from decimal import Decimal
from pathlib import Path

import attrs
import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.quote import Quote
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory

SYMBOLS = ("A-B", "C-D")
TICK_SECONDS = 0.01

#: How many prices were published, and how many of them when the last writing began that is done.
_HEAD = struct.Struct("<qq")
#: The wall clock in milliseconds, the price, and the program's own time in microseconds.
_ENTRY = struct.Struct("<qqq")
_MOST = 4_000


@attrs.frozen
class Published:
    """What the program had published when it was killed.

    Attributes:
        prices: for each its time in milliseconds, itself, and the program's own time in seconds.
        written: how many of them had been published when the last writing began that is done.
    """

    prices: list[tuple[int, int, float]]
    written: int


class Board:
    """Memory that outlives the program: what it has published, without asking anybody."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _HEAD.size + _MOST * _ENTRY.size)
        self.count, self.written = _HEAD.unpack_from(self._memory)

    @staticmethod
    def make(path: Path) -> None:
        path.write_bytes(bytes(_HEAD.size + _MOST * _ENTRY.size))

    def publish(self, wall_ms: int, price: int, own: float) -> None:
        place = _HEAD.size + self.count * _ENTRY.size
        _ENTRY.pack_into(self._memory, place, wall_ms, price, int(own * 1e6))
        self.count += 1
        self._tell()

    def wrote(self, count: int) -> None:
        self.written = count
        self._tell()

    def _tell(self) -> None:
        _HEAD.pack_into(self._memory, 0, self.count, self.written)

    def read(self) -> Published:
        entries = (
            _ENTRY.unpack_from(self._memory, _HEAD.size + n * _ENTRY.size)
            for n in range(self.count)
        )
        return Published([(at, price, own / 1e6) for at, price, own in entries], self.written)


class OwnClock:
    """The program's own time: what it waited for by itself, and the time of the processor it used.

    A machine that is busy with others lets a tick come late: that is no time in which the program
    could have written anything. A tick that is late since the program itself computes is.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._wall, self._used = time.monotonic(), time.process_time()

    def tick(self) -> float:
        wall, used = time.monotonic(), time.process_time()
        self.seconds += min(wall - self._wall, TICK_SECONDS + used - self._used)
        self._wall, self._used = wall, used
        return self.seconds


def run(directory: Path, price: int, board: Path) -> None:
    """Run until killed.

    Args:
        directory: where the past is kept.
        price: the last one of the life before.
        board: the file of what is published.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    limits.HISTORY_TURNS = 7  # type: ignore[misc]  # a process of its own
    trio.run(_main, directory, price, Board(board))


def _wall_ms() -> int:
    return int(time.time() * 1000)


async def _main(directory: Path, price: int, board: Board) -> None:
    book = Book(SYMBOLS)
    store = SqliteHistory(directory / HISTORY_FILE)
    keeper = HistoryKeeper(book, store, wall_ms=_wall_ms, feeds=lambda: True)
    await keeper.prepare()
    keep = keeper._keep

    async def keep_and_tell() -> None:
        count = board.count
        await keep()
        if keeper.statistics().kept:
            board.wrote(count)

    keeper._keep = keep_and_tell  # type: ignore[method-assign]  # to hear of it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        clock = OwnClock()
        while True:
            price += 1
            now = _wall_ms()
            book.apply([Quote("A-B", Decimal(price), now, now, "x")])
            board.publish(now, price, clock.tick())
            await trio.sleep(TICK_SECONDS)
