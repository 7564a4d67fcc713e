"""The task that looks after the past: what came in is put into bars, and days are made anew.

It goes from symbol to symbol in slices, so that 500 of them that close a second in step hold
no other task up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import trio

from ticker import limits
from ticker.market.book import Book


class Past:
    """Looks after the bars of all symbols."""

    def __init__(self, book: Book, wall_ms: Callable[[], int]) -> None:
        self._book = book
        self._wall_ms = wall_ms
        self._turn = 0

    async def run(self) -> NoReturn:
        """Look after them once a second, until cancelled."""
        while True:
            await trio.sleep(limits.PAST_SECONDS)
            await self.settle()

    async def settle(self) -> None:
        """Put the seconds that are over into the bars, with turns for others in between.

        Each call does so for a part of the symbols, and makes the days of a smaller part anew, so
        that all have their turn in `limits.PAST_TURNS` calls and in `limits.DAY_REFRESH_SECONDS`.
        """
        book, now_ms = self._book, self._wall_ms()
        days = round(limits.DAY_REFRESH_SECONDS / limits.PAST_SECONDS)
        self._turn = (self._turn + 1) % (days * limits.PAST_TURNS)
        room = limits.PAST_SLICE
        for place, symbol in enumerate(book.symbols):
            if place % limits.PAST_TURNS == self._turn % limits.PAST_TURNS:
                book.candles(symbol).settle_over()
                room -= 1
            if place % days == self._turn % days:
                book.refresh_day(place, now_ms)
                room -= limits.PAST_DAY_WEIGHT
            if room <= 0:
                await trio.lowlevel.checkpoint()
                room = limits.PAST_SLICE
