"""A recording of exchange messages, played back at its own pace.

Rules: the file may be huge, so that it is read in bounded pieces, in a thread; a line
that makes no sense is reported and passed over, so that a recording cut off in the
middle of a line is as good as any other. Quotes are stamped with the time they are
played at, as the exchange's and as ours: a client sees live data, only not the market's.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import attrs
import msgspec
import trio

from ticker.limits import (
    AFFIRM_SECONDS,
    REPLAY_BATCH_SECONDS,
    REPLAY_CHUNK_BYTES,
    REPLAY_GAP_SECONDS,
    REPLAY_LINE_BYTES,
    REPLAY_LOOP_PAUSE_SECONDS,
    REPLAY_SCAN_BYTES,
    REPLAY_SPEEDS,
)
from ticker.market.exchanges import binance_messages as binance
from ticker.market.exchanges import coinbase_messages as coinbase
from ticker.market.exchanges import kraken_messages as kraken
from ticker.market.exchanges.events import UNREADABLE, BadMessage, PriceSeen
from ticker.market.quote import Quote
from ticker.market.sources import SourceConfigError, SourceContext
from ticker.market.sources.options import nearest, parse_options

__all__ = ["create", "parse_line"]

#: What one line holds: when it was received, in seconds since the epoch, and its prices.
Line: TypeAlias = tuple[float, list[PriceSeen]]


class _Line(msgspec.Struct):
    received: float
    message: msgspec.Raw


class _Envelope(msgspec.Struct):
    """Just enough of a message to tell whose it is."""

    type: str = ""
    stream: str = ""
    id: int | str | None = None
    channel: str = ""
    method: str = ""


_lines: Final = msgspec.json.Decoder(_Line)
_envelopes: Final = msgspec.json.Decoder(_Envelope)


def parse_line(line: bytes) -> Line:
    """Read one line of a recording of Coinbase, Kraken or Binance.

    Raises:
        BadMessage: it is no line of a recording, or its message makes no sense.
    """
    try:
        recorded = _lines.decode(line)
        envelope = _envelopes.decode(recorded.message)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from None
    if not math.isfinite(recorded.received):
        raise BadMessage("received at no finite time")
    if envelope.channel or envelope.method:
        events = kraken.parse(recorded.message)
    elif envelope.type:
        events = coinbase.parse(recorded.message)
    else:
        events = binance.parse(recorded.message)
    return recorded.received, [event for event in events if isinstance(event, PriceSeen)]


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of one longer than the bound, only its beginning."""
    while line := file.readline(REPLAY_LINE_BYTES):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(REPLAY_LINE_BYTES)):
            pass
        if line.strip():
            yield line


def _take(lines: Iterator[bytes]) -> list[bytes]:
    """Return the next lines, about as many as one read should take; none at the end."""
    taken: list[bytes] = []
    size = 0
    for line in lines:
        taken.append(line)
        size += len(line)
        if size >= REPLAY_CHUNK_BYTES:
            break
    return taken


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

    async def batches(self) -> AsyncGenerator[Sequence[Quote], None]:
        """Yield prices when their time has come, the newest of each symbol; maybe for ever."""
        wanted = frozenset(self.symbols)
        newest: dict[str, Quote] = {}
        while True:
            due = gathering = affirmed = trio.current_time()
            before = math.inf
            pending: dict[str, PriceSeen] = {}
            with await trio.to_thread.run_sync(self.path.open, "rb") as file:
                lines = _bounded_lines(file)
                while chunk := await trio.to_thread.run_sync(_take, lines):
                    for received, prices in self._readable(chunk):
                        due += min(max(received - before, 0), REPLAY_GAP_SECONDS) / self.speed
                        before = received
                        now = trio.current_time()
                        if pending and (due > now or now - gathering >= REPLAY_BATCH_SECONDS):
                            newest.update(batch := self._quotes(pending))
                            yield tuple(batch.values())
                            pending, gathering = {}, now
                        while due > now:
                            await trio.sleep_until(min(due, affirmed + AFFIRM_SECONDS))
                            gathering = now = trio.current_time()
                            if newest and now >= affirmed + AFFIRM_SECONDS:
                                yield self._affirm(newest.values())
                                affirmed = now
                        pending.update((p.symbol, p) for p in prices if p.symbol in wanted)
                if pending:
                    newest.update(batch := self._quotes(pending))
                    yield tuple(batch.values())
            if not self.loop:
                return
            await trio.sleep(REPLAY_LOOP_PAUSE_SECONDS)

    def _readable(self, lines: Iterable[bytes]) -> Iterator[Line]:
        for line in lines:
            try:
                yield parse_line(line)
            except BadMessage as error:
                self.context.report("bad_message", str(error))

    def _quotes(self, prices: dict[str, PriceSeen]) -> dict[str, Quote]:
        now = self.context.wall_ms()
        return {name: Quote(name, p.price, now, now, self.name) for name, p in prices.items()}

    def _affirm(self, quotes: Iterable[Quote]) -> Sequence[Quote]:
        """Say again what still is so, as an exchange's heartbeats do between two trades."""
        now = self.context.wall_ms()
        return [msgspec.structs.replace(quote, received_ms=now) for quote in quotes]


def create(argument: str, context: SourceContext) -> Replay:
    """Make the source for `replay:FILE` or `replay:FILE?speed=2&loop=false`.

    It plays the symbols that were asked for or, where none were, all that the file has.

    Raises:
        SourceConfigError: the file cannot be read or has no prices, a symbol that was
            asked for is not in it, or an option makes no sense.
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
    for symbol in context.symbols:
        if symbol not in recorded:
            raise SourceConfigError(f"replay: {name} has no {symbol}{nearest(symbol, recorded)}")
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
