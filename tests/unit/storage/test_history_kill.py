"""Killed at any moment, the past lacks at most its last two seconds, and holds nothing made up."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from tests.support import history_program
from ticker.market.book import Book
from ticker.market.candles import SECOND, STEPS, ShownBar
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory

#: So many times as fast as it is goes the clock, and so the keeping.
SPEED = 10
#: Each life is forked from a process that has imported everything.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.history_program"])


def check_rounds(place: Path, rounds: int, seed: int) -> list[int]:
    """Kill the program so many times; return how much each kill lost, in milliseconds."""
    dice = random.Random(seed)
    known: dict[int, ShownBar] = {}
    price, losses = 0, []
    for _ in range(rounds):
        said_all = life(place, price, dice.uniform(0.0, 0.5))
        prices = [(at, each) for at, each in said_all if each]
        written = max((at for at, each in said_all if not each), default=0)
        price = prices[-1][1]
        said: dict[int, list[int]] = {}
        for time_ms, each in prices:
            said.setdefault(SECOND.begin(time_ms), []).append(each)
        kept = {bar.begin: bar for bar in kept_in(place)}
        # Of lives before, all that was there still is; of this one, nothing was made up.
        before = {begin: bar for begin, bar in known.items() if begin >= min(kept, default=0)}
        over = before.keys() - said.keys()  # but for a second that both lives had a part of
        assert {begin: kept.get(begin) for begin in over} == {b: before[b] for b in over}
        for begin in before.keys() & said.keys():
            said[begin] = [int(shown(before[begin])[0]), *said[begin]]
        unsaid = kept.keys() - before.keys() - said.keys()
        assert unsaid <= {SECOND.begin(prices[-1][0]) + SECOND.ms}  # taken in, and not said yet
        for begin, seen in said.items():
            if begin + SECOND.ms <= written:
                assert shown(kept[begin]) == [seen[0], max(seen), min(seen), seen[-1]]
            elif begin in kept:
                assert shown(kept[begin])[0] == seen[0]
        newest = max(kept.keys() & said.keys(), default=None)
        close = prices[0][1] - 1 if newest is None else shown(kept[newest])[3]
        first_lost = next((at for at, each in prices if each > close), prices[-1][0])
        losses.append(prices[-1][0] - first_lost)
        known = kept
    return losses


def life(place: Path, price: int, seconds: float) -> list[tuple[int, int]]:
    """Run the program until it is killed; return the times and prices that it said.

    Where a price is nothing, it is when a writing of the past began that is done.
    """
    heard, told = _processes.Pipe(duplex=False)
    worker = _processes.Process(target=history_program.run, args=(place, SPEED, price, told))
    worker.start()
    told.close()
    said = [heard.recv()]
    threading.Timer(seconds, worker.kill).start()
    with suppress(EOFError, OSError):  # cut off in the middle of a message, or between two
        while True:
            said.append(heard.recv())
    worker.join()
    heard.close()
    return said


def shown(bar: ShownBar) -> list[Decimal]:
    return [Decimal(text) for text in bar.prices]


def kept_in(place: Path) -> list[ShownBar]:
    """Read what is kept, as a start does."""
    book, now_ms = Book(history_program.SYMBOLS), int(time.time() * 1000 * SPEED)

    async def load() -> None:
        store = SqliteHistory(place / HISTORY_FILE)
        keeper = HistoryKeeper(book, store, wall_ms=lambda: now_ms, feeds=lambda: True)
        await keeper.load()
        store.close()
        assert keeper.statistics().kept

    trio.run(load)
    candles = book.candles("A-B")
    return list(candles.bars(STEPS["1s"], now_ms=now_ms, begin=None, end=None, limit=None))


def test_what_was_written_survives_a_kill_and_nothing_is_made_up(tmp_path: Path) -> None:
    check_rounds(tmp_path, rounds=5, seed=1)


@pytest.mark.slow
def test_five_hundred_kills_lose_two_seconds_each_at_most(tmp_path: Path) -> None:
    losses = sorted(check_rounds(tmp_path, rounds=500, seed=2))
    # The machine's own hiccups count tenfold here.
    assert losses[len(losses) * 98 // 100] <= 2000, losses[-20:]
