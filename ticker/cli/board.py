"""What `ticker watch` shows: the newest prices and the state of the stream, as a rich table.

Rules for this module: values in, renderables out; no I/O, no clock. Times are seconds. What is
drawn is never higher than the screen: symbols give way to the status line, and on a narrow
screen columns give way to the symbol and its price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ticker.cli.trouble import trouble
from ticker.client import ClientStatistics, Message, Price, State, Status, Subscribed, Ticker

_DIM: Final = "dim"
_COLOURS: Final = {1: "green", -1: "red", 0: _DIM}
#: Over how many seconds the pace of updates is measured.
_PACE_SECONDS: Final = 1.0
_TITLES: Final = ("SYMBOL", "PRICE", "CHANGE", "AGE", "SOURCE")
#: The order in which columns go where the screen is narrow: source, age, change.
_GIVE_WAY: Final = (4, 3, 2)
_GAP: Final = 2
#: Lines that are not symbols: the titles, an empty one, and the status.
_FRAME_LINES: Final = 3


@attrs.frozen
class Signs:
    """What stands for a direction, since colour alone is not seen by all, and for what is cut.

    Attributes:
        directions: up, down, unchanged.
        more: before the number of symbols that there is no room for.
    """

    directions: tuple[str, str, str]
    more: str

    @classmethod
    def fitting(cls, encoding: str) -> Signs:
        """Return the signs that a terminal's encoding can show."""
        signs = cls(("▲", "▼", "•"), "…")
        try:
            "".join((*signs.directions, signs.more)).encode(encoding)
        except (UnicodeEncodeError, LookupError):
            return cls(("^", "v", "-"), "...")
        return signs


@attrs.define
class _Row:
    first: Decimal
    newest: Price
    direction: int = 0

    def move(self, price: Price) -> None:
        if price.price != self.newest.price:
            self.direction = 1 if price.price > self.newest.price else -1
        self.newest = price


class Board:
    """Gathers messages and shows where they have led to."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._signs = Signs.fitting(encoding)
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

    def show(
        self,
        counts: ClientStatistics,
        now: float,
        monotonic: float,
        *,
        size: tuple[int, int] = (100, 1000),
    ) -> RenderableType:
        """Draw the board.

        Args:
            counts: the client's.
            now: seconds since the epoch, for the age of prices.
            monotonic: a steady clock, for the pace of updates.
            size: columns and lines of the screen.
        """
        width, height = size
        status = self._status(counts, monotonic)
        # A trouble or two are worth a symbol's line, but not all of them.
        status = status[: max(1, height - _FRAME_LINES - 1)]
        room = max(1, height - _FRAME_LINES + 1 - len(status))
        names = list(self._rows)
        left_out = 0
        if len(names) > room:
            left_out = len(names) - room + 1
            names = names[: room - 1]
        cells = [self._cells(name, now, live=counts.state is State.OPEN) for name in names]
        parts: list[RenderableType] = [_table(cells, width)]
        if left_out:
            parts.append(_line(f"{self._signs.more} {left_out} more symbols", _DIM))
        return Group(*parts, Text(), *status)

    def _cells(self, symbol: str, now: float, *, live: bool) -> tuple[Text, ...]:
        row = self._rows[symbol]
        price = row.newest
        fresh = live and not self._is_stale(price)
        part = (price.price - row.first) / row.first if row.first else Decimal(0)
        moved = (part > 0) - (part < 0)
        sign = self._signs.directions[{1: 0, -1: 1, 0: 2}[row.direction]]
        return (
            Text(symbol, "" if fresh else _DIM),
            Text(f"{price.price:,f} {sign}", _COLOURS[row.direction] if fresh else _DIM),
            Text(f"{part:+.2%}", _COLOURS[moved] if fresh else _DIM),
            Text(_age(now - price.timestamp), "" if fresh else _DIM),
            Text(price.source or "-", "" if fresh else _DIM),
        )

    def _is_stale(self, price: Price) -> bool:
        status = self._stale.get(price.source or "")
        return status is not None and (not status.symbols or price.symbol in status.symbols)

    def _status(self, counts: ClientStatistics, monotonic: float) -> list[Text]:
        line = _line("")
        line.append(counts.state, "green" if counts.state is State.OPEN else "bold yellow")
        line.append(f"  {self._updates_a_second(counts, monotonic):.0f} messages/s")
        line.append(f"  {counts.skipped_ticks} ticks skipped")
        if counts.connections > 1:
            line.append(f"  {counts.connections - 1} reconnects")
        lines = [line]
        if counts.state is not State.OPEN and counts.last_fault:
            lines.append(_line(counts.last_fault, "yellow"))
        for status in self._stale.values():
            end = "" if status.symbols else "; prices stand still"
            lines += [_line(sentence + end, "yellow") for sentence in trouble(status)]
        return lines

    def _updates_a_second(self, counts: ClientStatistics, monotonic: float) -> float:
        self._pace.append((monotonic, counts.received))
        while len(self._pace) > 1 and self._pace[1][0] <= monotonic - _PACE_SECONDS:
            self._pace.popleft()
        began, before = self._pace[0]
        return (counts.received - before) / (monotonic - began) if monotonic > began else 0.0


def _line(text: str, style: str = "") -> Text:
    """Make one line: what does not fit is cut, since a second line would push others out."""
    return Text(text, style, no_wrap=True, overflow="crop")


def _table(rows: Sequence[Sequence[Text]], width: int) -> Table:
    widths = [
        max([len(title), *(row[column].cell_len for row in rows)])
        for column, title in enumerate(_TITLES)
    ]
    shown = list(range(len(_TITLES)))
    for column in _GIVE_WAY:
        if sum(widths[each] + _GAP for each in shown) - _GAP > width:
            shown.remove(column)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in shown:
        right = "left" if column in {0, len(_TITLES) - 1} else "right"
        table.add_column(_TITLES[column], justify=right, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(row[column] for column in shown))
    return table


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h"  # noqa: PLR2004 - an hour
