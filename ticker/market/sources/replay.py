"""A recording of exchange messages, played back at its own pace.

Rules: the file may be huge, so that it is read in bounded pieces, in a thread; a line
that makes no sense is reported and passed over, so that a recording cut off in the
middle of a line is as good as any other. Quotes are stamped with the time they are
played at, as the exchange's and as ours: a client sees live data, only not the market's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import attrs
import msgspec
import trio

from ticker.limits import (
    AFFIRM_SECONDS,
    REPLAY_CHUNK_BYTES,
    REPLAY_GAP_SECONDS,
    REPLAY_LINE_BYTES,
    REPLAY_LOOP_PAUSE_SECONDS,
    REPLAY_SCAN_BYTES,
    REPLAY_SPEEDS,
)
from ticker.market.exchanges.decoding import BadMessage, decoded
from ticker.market.exchanges.events import PriceSeen
from ticker.market.exchanges.recorded import recorded_prices
from ticker.market.quote import Quote
from ticker.market.sources import Batch, SourceConfigError, SourceContext, UnknownSymbolError
from ticker.market.sources.options import nearest, parse_options

__all__ = ["Pacer", "create", "parse_line"]

#: What one line holds: when it was received, in seconds since the epoch, and its prices.
Line: TypeAlias = tuple[float, list[PriceSeen]]


class _Line(msgspec.Struct):
    received: float
    message: msgspec.Raw


_lines: Final = msgspec.json.Decoder(_Line)


def parse_line(line: bytes) -> Line:
    """Read one line of a recording, of whichever exchange.

    Raises:
        BadMessage: it is no line of a recording, or its message makes no sense.
    """
    recorded = decoded(_lines, line)
    if not math.isfinite(recorded.received):
        raise BadMessage("received at no finite time")
    return recorded.received, list(recorded_prices(bytes(recorded.message)))


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of one longer than the bound, only its beginning."""
    while line := file.readline(REPLAY_LINE_BYTES):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(REPLAY_LINE_BYTES)):
            pass
        if line.strip():
            yield line


def _take(lines: Iterator[bytes]) -> list[Line | BadMessage]:
    """Read the next lines, about as many as one read should take; none at the end."""
    taken: list[Line | BadMessage] = []
    size = 0
    for line in lines:
        try:
            taken.append(parse_line(line))
        except BadMessage as error:
            taken.append(error)
        size += len(line)
        if size >= REPLAY_CHUNK_BYTES:
            break
    return taken


class Pacer:
    """When each line of a recording is due, and when the last prices are to be affirmed. Pure.

    Times are in seconds of any one clock, and given by the caller. It is true while it holds
    lines that have not been due yet.
    """

    def __init__(self, speed: float, now: float) -> None:
        """Begin a playback `now` whose first line is due at once.

        Args:
            speed: by how much it is faster than the recording was.
            now: when it begins.
        """
        self._speed = speed
        self._due = self._affirmed = now
        self._received = math.inf
        self._lines: deque[tuple[float, Sequence[PriceSeen]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, received: float, prices: Sequence[PriceSeen]) -> None:
        """Place the next line of the recording, received at `received` seconds since the epoch.

        A clock that steps back is no wait, and a long silence is shortened.
        """
        gap = min(max(received - self._received, 0), REPLAY_GAP_SECONDS)
        self._due += gap / self._speed
        self._received = received
        self._lines.append((self._due, prices))

    def due(self, now: float) -> list[PriceSeen]:
        """Take out the prices of all lines that are due, the older first."""
        prices: list[PriceSeen] = []
        while self._lines and self._lines[0][0] <= now:
            prices += self._lines.popleft()[1]
        return prices

    def affirms(self, now: float) -> bool:
        """Tell whether the last prices are to be affirmed now, once every `AFFIRM_SECONDS`."""
        if now < self._affirmed + AFFIRM_SECONDS:
            return False
        self._affirmed = now
        return True

    @property
    def next_at(self) -> float:
        """When there is something to do again; only while it holds lines."""
        return min(self._lines[0][0], self._affirmed + AFFIRM_SECONDS)


def _scan(path: Path) -> tuple[str, ...]:
    """Return the symbols that the beginning of a recording prices, in order of appearance."""
    found: dict[str, None] = {}
    size = 0
    with path.open("rb") as file:
        for line in _bounded_lines(file):
            try:
                _, prices = parse_line(line)
            except BadMessage:
                continue  # playing reports it
            found.update(dict.fromkeys(price.symbol for price in prices))
            size += len(line)
            if size >= REPLAY_SCAN_BYTES:
                break
    return tuple(found)


@attrs.frozen
class Replay:
    """The source that plays a recording."""

    path: Path
    symbols: Sequence[str]
    context: SourceContext
    speed: float = 1.0
    loop: bool = True

    name = "replay"

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield prices when their time has come, the newest of each symbol; maybe for ever."""
        newest: dict[str, Quote] = {}
        while True:
            pacer = Pacer(self.speed, trio.current_time())
            with await trio.to_thread.run_sync(self.path.open, "rb") as file:
                lines = _bounded_lines(file)
                while await self._read_ahead(pacer, lines):
                    now = trio.current_time()
                    if pacer.affirms(now) and newest:
                        yield self._affirm(newest.values())
                    elif prices := pacer.due(now):
                        newest.update(played := self._quotes(prices))
                        yield tuple(played.values())
                    elif pacer:
                        await trio.sleep_until(pacer.next_at)
            if not self.loop:
                return
            await trio.sleep(REPLAY_LOOP_PAUSE_SECONDS)

    async def _read_ahead(self, pacer: Pacer, lines: Iterator[bytes]) -> bool:
        """Hand the pacer lines where it has none; False at the end of the recording."""
        while not pacer:
            chunk = await trio.to_thread.run_sync(_take, lines)
            if not chunk:
                return False
            for line in chunk:
                if isinstance(line, BadMessage):
                    self.context.report("bad_message", str(line))
                else:
                    received, prices = line
                    pacer.add(received, [p for p in prices if p.symbol in self.symbols])
        return True

    def _quotes(self, prices: Iterable[PriceSeen]) -> dict[str, Quote]:
        now = self.context.wall_ms()
        return {p.symbol: Quote(p.symbol, p.price, now, now, self.name) for p in prices}

    def _affirm(self, quotes: Iterable[Quote]) -> Sequence[Quote]:
        """Affirm the last prices, as an exchange's heartbeats do between two trades."""
        now = self.context.wall_ms()
        return [msgspec.structs.replace(quote, received_ms=now) for quote in quotes]


def create(argument: str, context: SourceContext) -> Replay:
    """Make the source for `replay:FILE` or `replay:FILE?speed=2&loop=false`.

    It plays the symbols that were asked for or, where none were, all that the file has.

    Raises:
        SourceConfigError: the file cannot be read or has no prices, or an option makes no
            sense.
        UnknownSymbolError: symbols that were asked for are not in it.
    """
    name, _, text = argument.partition("?")
    if not name:
        raise SourceConfigError("replay: which file? Write replay:FILE")
    options = parse_options("replay", text, ["loop", "speed"])
    speed, loop = _speed(options.get("speed", "1")), options.get("loop", "true")
    if loop not in {"true", "false"}:
        raise SourceConfigError(f"replay: loop is true or false, not {loop!r}")
    path = Path(name)
    try:
        if not path.is_file():
            problem = "is not a regular file" if path.exists() else "does not exist"
            raise SourceConfigError(f"replay: {name} {problem}")
        recorded = _scan(path)
    except OSError as error:
        raise SourceConfigError(f"replay: {name} cannot be read: {error.strerror}") from None
    if not recorded:
        raise SourceConfigError(f"replay: {name} has no price that can be read")
    missing = [symbol for symbol in context.symbols if symbol not in recorded]
    if missing:
        named = ", nor ".join(f"{symbol}{nearest(symbol, recorded)}" for symbol in missing)
        raise UnknownSymbolError(f"replay: {name} has no {named}", missing)
    return Replay(path, tuple(context.symbols) or recorded, context, speed, loop == "true")


def _speed(text: str) -> float:
    slowest, fastest = REPLAY_SPEEDS
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not slowest <= speed <= fastest:
        raise SourceConfigError(
            f"replay: speed is a number from {slowest} to {fastest}, not {text!r}"
        )
    return speed
