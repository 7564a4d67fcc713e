"""The three ways in which `ticker watch` shows a stream: JSON, plain lines, a table.

Each shows messages until the stream's end or until `Enough` says so.
"""

from __future__ import annotations

import os
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import trio
from rich.console import Console, RenderableType
from rich.live import Live

from ticker.cli import output
from ticker.cli.board import Board
from ticker.cli.trouble import trouble
from ticker.client import Client, Message, Status, Ticker
from ticker.limits import WATCH_PRICES_SECONDS, WATCH_REDRAW_SECONDS
from ticker.protocol.decimals import encode_json

#: `q`, and what Ctrl-D sends.
_QUIT_KEYS: Final = b"qQ\x04"


class NoPricesError(Exception):
    """So many price messages were asked for, and none with a price has come."""


class Enough:
    """Counts the messages that hold a price; those of a source without any do not count.

    Args:
        count: how many are wanted; None for no end.
    """

    def __init__(self, count: int | None) -> None:
        self._left = count
        self._seen = False
        self._trouble = ""

    def __call__(self, message: Message) -> bool:
        """Note a message; tell whether it was the last one wanted."""
        if isinstance(message, Status):
            self._trouble = ""
            if message.state == "stale":
                self._trouble = f": {'; '.join(trouble(message))}"
        elif isinstance(message, Ticker) and message.data:
            self._seen = True
            if self._left is not None:
                self._left -= 1
        return self._left == 0

    async def expire(self) -> None:
        """Fail where a count is wanted and the first price does not come in time.

        Raises:
            NoPricesError: with what the server said of its sources.
        """
        if self._left is not None:
            await trio.sleep(WATCH_PRICES_SECONDS)
            if not self._seen:
                raise NoPricesError(f"no price has come{self._trouble}")


async def print_json(client: Client, enough: Enough) -> None:
    """Print one message a line."""
    async for message in client:
        await _write(encode_json(message) + b"\n")
        if enough(message):
            return


async def print_plain(client: Client, enough: Enough) -> None:
    """Print a line for each price that has changed: symbol, price, source."""
    last: dict[str, Decimal] = {}
    async for message in client:
        if isinstance(message, Ticker):
            changed = [price for price in message.data if last.get(price.symbol) != price.price]
            last.update((price.symbol, price.price) for price in changed)
            lines = [f"{price.symbol} {price.price:f} {price.source or '-'}\n" for price in changed]
            if lines:
                await _write("".join(lines).encode())
        if enough(message):
            return


async def _write(lines: bytes) -> None:
    # In a thread, since a pipe that is full would hold up the stream as well; meanwhile
    # the client keeps the newest prices only.
    await trio.to_thread.run_sync(_write_now, lines, abandon_on_cancel=True)


def _write_now(lines: bytes) -> None:
    if not hasattr(sys.stdout, "buffer"):
        sys.stdout.write(lines.decode())  # closed, and says so
        return
    with output.writing():
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()


async def draw_table(client: Client, enough: Enough) -> None:
    """Draw a table, again and again, until `q` is pressed."""
    console = Console()
    board = Board(console.encoding)

    def drawn() -> RenderableType:
        return board.show(
            client.statistics(),
            time.time(),
            trio.current_time(),
            size=(console.size.width, console.size.height),
        )

    async def redraw(live: Live) -> None:
        while True:
            live.update(drawn(), refresh=True)
            await trio.sleep(WATCH_REDRAW_SECONDS)

    with Live(console=console, auto_refresh=False) as live, _keys() as descriptor:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(redraw, live)
            if descriptor is not None:
                nursery.start_soon(_wait_for_quit, descriptor, nursery.cancel_scope)
            async for message in client:
                board.take(message)
                if enough(message):
                    break
            nursery.cancel_scope.cancel()
        live.update(drawn())


async def _wait_for_quit(descriptor: int, scope: trio.CancelScope) -> None:
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        pressed = os.read(descriptor, 64)
        if not pressed:
            return  # the terminal has gone, and a signal tells of that
        if any(key in _QUIT_KEYS for key in pressed):
            scope.cancel()


@contextmanager
def _keys() -> Iterator[int | None]:
    """Let single keys be read, without an echo; None where no terminal is in front of this."""
    try:
        descriptor = sys.stdin.fileno()
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            raise OSError("in the background")  # noqa: TRY301 - as good as no terminal
        before = termios.tcgetattr(descriptor)
    except (AttributeError, ValueError, OSError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
