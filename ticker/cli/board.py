"""What `ticker watch` shows: the newest prices and the state of the stream, as a rich table.

Rules for this module: values in, renderables out; no I/O, no clock. Times are seconds.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ticker.client import ClientStatistics, Message, Price, State, Status, Subscribed, Ticker

#: An arrow says the direction, since not everyone sees the colour and not every terminal has it.
_UP: Final = ("▲", "green")
_DOWN: Final = ("▼", "red")
_SAME: Final = ("•", "dim")
#: Over how many seconds the pace of updates is measured.
_PACE_SECONDS: Final = 1.0


@attrs.define
class _Row:
    first: Decimal
    newest: Price
    direction: tuple[str, str] = _SAME

    def move(self, price: Price) -> None:
        if price.price != self.newest.price:
            self.direction = _UP if price.price > self.newest.price else _DOWN
        self.newest = price


class Board:
    """Gathers messages and shows where they have led to."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._stale: dict[str, Status] = {}
        self._pace: deque[tuple[float, int]] = deque()

    def take(self, message: Message) -> None:
        """Note what a message says."""
        match message:
            case Ticker(data=prices):
                for price in prices:
                    row = self._rows.setdefault(price.symbol, _Row(price.price, price))
                    row.move(price)
            case Subscribed(symbols=symbols):
                self._rows = {name: row for name, row in self._rows.items() if name in symbols}
            case Status(source=source, state="stale"):
                self._stale[source or ""] = message
            case Status(source=source):
                self._stale.pop(source or "", None)

    def show(self, counts: ClientStatistics, now: float, monotonic: float) -> RenderableType:
        """Draw the board.

        Args:
            counts: the client's.
            now: seconds since the epoch, for the age of prices.
            monotonic: a steady clock, for the pace of updates.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("SYMBOL")
        for title in ("PRICE", "CHANGE", "AGE"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("SOURCE")
        for symbol, row in self._rows.items():
            arrow, style = row.direction
            table.add_row(
                symbol,
                Text(f"{row.newest.price:,f} {arrow}", style),
                _change(row),
                _age(now - row.newest.timestamp),
                row.newest.source or "-",
            )
        return Group(table, Text(), self._status(counts, monotonic))

    def _status(self, counts: ClientStatistics, monotonic: float) -> Text:
        line = Text()
        line.append(counts.state, "green" if counts.state is State.OPEN else "bold yellow")
        line.append(f"  {self._updates_a_second(counts, monotonic):.0f} messages/s")
        line.append(f"  {counts.skipped_ticks} ticks skipped")
        if counts.connections > 1:
            line.append(f"  {counts.connections - 1} reconnects")
        if counts.state is not State.OPEN and counts.last_fault:
            line.append(f"\n{counts.last_fault}", "yellow")
        for source, status in self._stale.items():
            what = f" in {', '.join(status.symbols)}" if status.symbols else ""
            why = f": {status.reason}" if status.reason else ""
            end = "" if what else "; prices stand still"
            line.append(f"\n{source or 'the source'} is stale{what}{why}{end}", "yellow")
        return line

    def _updates_a_second(self, counts: ClientStatistics, monotonic: float) -> float:
        self._pace.append((monotonic, counts.received))
        while len(self._pace) > 1 and self._pace[1][0] <= monotonic - _PACE_SECONDS:
            self._pace.popleft()
        began, before = self._pace[0]
        return (counts.received - before) / (monotonic - began) if monotonic > began else 0.0


def _change(row: _Row) -> Text:
    part = (row.newest.price - row.first) / row.first if row.first else Decimal(0)
    return Text(f"{part:+.2%}", "green" if part > 0 else "red" if part < 0 else "dim")


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h"  # noqa: PLR2004 - an hour
