"""Bars are what the prices were, across restarts, day borders, clock jumps and late prices."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.market.test_candles import exact, model, moves, prices
from ticker import limits
from ticker.market.book import Book
from ticker.market.candles import HOUR, STEPS
from ticker.market.quote import Quote
from ticker.storage.history_keeper import HistoryKeeper
from ticker.storage.history_sqlite import HISTORY_FILE, SqliteHistory

#: Half a minute before midnight.
NOW = 1_790_000_000_000 - 1_790_000_000_000 % (24 * HOUR.ms) - 30_000

ONE = Decimal(1)

Act = tuple[int, Decimal] | Literal["keep", "kill", "end", "read", "look", "settle"]
acts = st.one_of(
    st.tuples(moves, prices),
    st.sampled_from(["keep", "keep", "kill", "end", "read", "read", "look", "settle"]),
)


class Life:
    """A market with what is kept of it; the times of its prices are the clock."""

    def __init__(self, directory: Path, now: int) -> None:
        self.now = now
        self.book = Book(("A-B",))
        self.store = SqliteHistory(directory / HISTORY_FILE)
        self.keeper = HistoryKeeper(
            self.book, self.store, wall_ms=lambda: self.now, feeds=lambda: True
        )

    async def read(self) -> None:
        if not self.keeper._loaded:
            await self.keeper.load()
        assert self.keeper.statistics().kept

    def shown(self, step: str) -> list[tuple[int, str, str, str, str]]:
        bars = self.book.candles("A-B").bars(
            STEPS[step], now_ms=self.now, begin=None, end=None, limit=None
        )
        return [(bar.begin, *bar.prices) for bar in bars]


async def check(directory: Path, steps: list[Act]) -> None:
    life, came, kept = Life(directory, NOW), list[tuple[int, Decimal]](), 0
    for step in (*steps, "keep", "kill", "read"):
        match step:
            case "keep":
                await life.keeper._keep()
                kept = len(came)
            case "kill" | "end":
                if step == "end":
                    await life.keeper._keep()
                    kept = len(came)
                del came[kept:]
                life.store.close()
                life = Life(directory, life.now)
            case "read":
                await life.read()
            case "look":
                life.shown("1s")
            case "settle":
                life.book.candles("A-B").settle_over()
            case move, price:
                life.now += int(move)
                came.append((life.now, Decimal(price)))
                # Told twice at one moment and price, it is affirmed, and not counted.
                life.book.quotes[0] = None
                life.book.apply([Quote("A-B", Decimal(price), life.now, life.now, "x")])
    for name, step_ in STEPS.items():
        assert exact(life.shown(name)) == model(came, step_, life.now), name
    life.store.close()


@pytest.mark.parametrize("turns", [1, 3])
def test_bars_are_what_the_prices_were_that_were_kept(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HISTORY_TURNS", turns)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(acts, max_size=30))
    # Two lives that ended before they had read the past, in a second of the one before.
    @example([(0, ONE), "keep", "kill", (0, 3 * ONE), "keep", "kill", (0, 2 * ONE), "keep"])
    # Seconds that the journal still has, and whose block has grown too old.
    @example(
        [
            *["keep"] * 3,
            (0, 2 * ONE),
            "keep",
            "read",
            "keep",
            (1002, ONE),
            "keep",
            "keep",
            (3_600_000, ONE),
            "keep",
            (3_600_000, ONE),
            (3_600_000, ONE),
        ]
    )
    # A clock that was ahead for an hour.
    @example([(0, ONE), (30_000, ONE), (3_600_000, ONE), "keep", (-3_600_000, ONE)])
    def holds(steps: list[Act]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            trio.run(check, Path(directory), steps)

    holds()
