"""A program that takes prices in and keeps the past, to be killed at any moment."""

from __future__ import annotations

import time
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
import trio

from ticker import limits
from ticker.market.book import Book
from ticker.market.quote import Quote
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory

SYMBOLS = ("A-B", "C-D")


def run(directory: Path, speed: int, price: int, told: Connection) -> None:
    """Run until killed.

    Args:
        directory: where the past is kept.
        speed: how many times as fast as it is the clock goes, and so the keeping.
        price: the last one of the life before.
        told: is told the time and the number of each price once it is taken in, and, with 0, when
            each writing of the past began, once that is done.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    limits.HISTORY_WRITE_SECONDS /= speed  # type: ignore[misc]  # a process of its own
    limits.HISTORY_TURNS = 7  # type: ignore[misc]  # the same
    trio.run(_main, directory, speed, price, told)


async def _main(directory: Path, speed: int, price: int, told: Connection) -> None:
    book = Book(SYMBOLS)

    def wall_ms() -> int:
        return int(time.time() * 1000 * speed)

    store = SqliteHistory(directory / HISTORY_FILE)
    keeper = HistoryKeeper(book, store, wall_ms=wall_ms, feeds=lambda: True)
    await keeper.load()
    keep = keeper._keep

    async def keep_and_tell() -> None:
        began = wall_ms()
        await keep()
        if keeper.statistics().kept:
            told.send((began, 0))

    keeper._keep = keep_and_tell  # type: ignore[method-assign]  # to hear of it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        while True:
            price += 1
            now = wall_ms()
            book.apply([Quote("A-B", Decimal(price), now, now, "x")])
            told.send((now, price))
            await trio.sleep(0.002)
