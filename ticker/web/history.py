"""`GET /prices/SYMBOL/history` and `GET /history`: the past in bars, for those who may read it.

A long answer is written in slices with turns for others in between; the bars of one symbol are
those of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
import trio
from quart import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from ticker import limits
from ticker.market.candles import STEPS, ShownBar, Step
from ticker.protocol.decimals import encode_json
from ticker.web.prices import refused
from ticker.web.responses import bearer, costly_answer, error, running

blueprint = Blueprint("history", __name__)

#: A time in milliseconds has 13 digits until the year 2286.
_DIGITS: Final = 15
#: A bar that is there and not shown would be one that never was.
_READING: Final = "the past is being read"


class QueryError(ValueError):
    """A request asks for something that there cannot be; the text says what is expected."""


@attrs.frozen
class HistoryQuery:
    """What a request asks for.

    Attributes:
        step: the length of the bars.
        begin: the first time in milliseconds, inclusive; None for all that is kept.
        end: the last time, exclusive; None for no end.
        limit: the newest so many bars; None for all.
    """

    step: Step
    begin: int | None
    end: int | None
    limit: int | None

    @classmethod
    def read(cls, values: Mapping[str, str]) -> HistoryQuery:
        """Read the query's `step`, `from`, `to` and `limit`.

        Raises:
            QueryError: one of them is not as it should be.
        """
        step = STEPS.get(values.get("step", "1s"))
        if step is None:
            raise QueryError(f"step must be one of {', '.join(STEPS)}")
        limit = _whole("limit", values)
        if limit == 0:
            raise QueryError("limit must be 1 or more")
        return cls(step, _whole("from", values), _whole("to", values), limit)


def _whole(name: str, values: Mapping[str, str]) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        unit = "" if name == "limit" else " of milliseconds"
        raise QueryError(f"{name} must be a whole number{unit}")
    return int(text)


def _arguments() -> Mapping[str, str]:
    """Return the query; raises QueryError where something is named twice."""
    given: MultiDict[str, str] = request.args
    for name, values in given.lists():
        if len(values) > 1:
            raise QueryError(f"{name} is given {len(values)} times")
    return given.to_dict()


async def _is_read(symbols: Sequence[str]) -> bool:
    """Wait, after a start, until the past of some symbols is read; False where that takes long."""
    with trio.move_on_after(limits.HISTORY_WAIT_SECONDS) as scope:
        await running().market.book.unread.wait(symbols)
    return not scope.cancelled_caught


@blueprint.get("/prices/<symbol>/history")
async def of_one(symbol: str) -> Response:
    """Answer the bars of one symbol, the oldest first."""
    refusal = await refused(symbol)
    if refusal is not None:
        return refusal
    try:
        query = HistoryQuery.read(_arguments())
    except QueryError as problem:
        return error(400, str(problem))

    if not await _is_read([symbol]):
        return error(503, _READING)

    async def body() -> bytes:
        written = (await _written([symbol], query))[symbol]
        filled = b',"backfilled":%b' % written.filled if written.filled else b""
        parts = symbol.encode(), query.step.ms, written.bars, filled
        return b'{"symbol":"%b","step_ms":%d,"bars":%b%b}' % parts

    return await costly_answer(("history", symbol, query), body)


@blueprint.get("/history")
async def of_many() -> Response:
    """Answer the bars of several symbols at once."""
    grant = await bearer()
    if isinstance(grant, Response):
        return grant
    try:
        arguments = _arguments()
        query = HistoryQuery.read(arguments)
        symbols = _symbols(arguments.get("symbols", ""))
    except QueryError as problem:
        return error(400, str(problem))
    allowed = frozenset(running().access.allowed(grant.role, "read"))
    for symbol in symbols:
        if symbol not in running().market.book:
            return error(404, "unknown symbol")
        if symbol not in allowed:
            return error(403, "forbidden")

    if not await _is_read(symbols):
        return error(503, _READING)

    async def body() -> bytes:
        written = await _written(symbols, query)
        bars = _object({name: each.bars for name, each in written.items()})
        filled = {name: each.filled for name, each in written.items() if each.filled}
        more = b',"backfilled":%b' % _object(filled) if filled else b""
        return b'{"step_ms":%d,"bars":%b%b}' % (query.step.ms, bars, more)

    return await costly_answer(("history", symbols, query), body)


def _symbols(text: str) -> Sequence[str]:
    symbols = tuple(dict.fromkeys(text.split(",")))
    if not all(symbols):
        raise QueryError("symbols must name some, as in symbols=BTC-USD,ETH-USD")
    if len(symbols) > limits.HISTORY_SYMBOLS:
        raise QueryError(f"symbols must be at most {limits.HISTORY_SYMBOLS}")
    return symbols


def _bars(symbol: str, query: HistoryQuery) -> Iterator[ShownBar]:
    market = running().market
    return market.book.candles(symbol).bars(
        query.step, now_ms=market.wall_ms(), begin=query.begin, end=query.end, limit=query.limit
    )


@attrs.frozen
class _Written:
    """Bars as JSON, and the spans of those that are the exchange's own; nothing without any."""

    bars: bytes
    filled: bytes


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), each) for name, each in members.items())


async def _written(symbols: Sequence[str], query: HistoryQuery) -> dict[str, _Written]:
    """Write bars as JSON, by symbol, with a turn for others after each slice."""
    written: dict[str, _Written] = {}
    room = limits.HISTORY_SLICE_BARS
    for symbol in symbols:
        parts = []
        spans: list[list[int]] = []
        for bar in _bars(symbol, query):
            opening, high, low, close = bar.prices
            parts.append(f"[{bar.begin},{opening},{high},{low},{close},{bar.volume or 'null'}]")
            if bar.theirs:
                _extend(spans, bar.begin, query.step.ms)
            room -= 1
            if not room:
                await trio.lowlevel.checkpoint()
                room = limits.HISTORY_SLICE_BARS
        filled = encode_json(spans) if spans else b""
        written[symbol] = _Written(f"[{','.join(parts)}]".encode(), filled)
        room = max(1, room - 20)  # what a symbol costs by itself
    return written


def _extend(spans: list[list[int]], begin: int, length: int) -> None:
    """Add a bar to spans of bars."""
    if spans and spans[-1][1] == begin:
        spans[-1][1] = begin + length
    else:
        spans.append([begin, begin + length])
