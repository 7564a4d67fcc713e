"""Bars as bytes, in blocks: columns as they lie in memory, so that a year is read in no time.

Rules for this module: pure. A block has the bars of a fixed span of time of one step. Numbers are
in the units that the block names; where they are larger than 64 bits they are written out. A
store puts a checksum before it (`storage.history_records`).
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from itertools import islice
from operator import lt
from typing import Final, TypeAlias

import msgspec

from ticker.market.candles import HOUR, MINUTE, SECOND, Candles

__all__ = ["SPANS", "PackedBarsError", "block_begin", "pack", "unpack"]

#: How long a block of each step is, in milliseconds: five minutes, six hours, fifteen days, so
#: that each has some 360 bars.
SPANS: Final = {
    SECOND.name: 300 * SECOND.ms,
    MINUTE.name: 360 * MINUTE.ms,
    HOUR.name: 360 * HOUR.ms,
}
_VERSION: Final = 1
#: Decimals of a unit that can be, where no checksum says that the number is as it was.
_MOST_PLACES: Final = 100
#: A column: the letter of its type and its numbers in little-endian order, or these as texts.
_Column: TypeAlias = bytes | list[str]


class PackedBarsError(ValueError):
    """Bytes are no block of bars."""


class _Block(msgspec.Struct, array_like=True):
    version: int
    places: int
    volume_places: int
    complete_from: int | None
    columns: list[_Column]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Block).decode


def block_begin(step: str, begin: int) -> int:
    """Return when the block begins that a bar is in; the step may have a `*` for theirs."""
    return begin - begin % SPANS[step.removesuffix("*")]


def pack(candles: Candles, step: str, begin: int) -> bytes:
    """Write the block of a step that begins at a time."""
    candles.settle()
    series = candles.series(step)
    columns = series.columns(begin, begin + SPANS[step.removesuffix("*")])
    places, volume_places = candles.measure(0, 0)
    complete = series.complete_from
    return _encode(
        _Block(
            _VERSION,
            places,
            volume_places,
            None if math.isinf(complete) else int(complete),
            [_packed(column) for column in columns],
        )
    )


def unpack(candles: Candles, step: str, begin: int, block: bytes, *, checked: bool = True) -> None:
    """Put the bars of a block behind those that are there, which must be older.

    Args:
        candles: where to.
        step: the name of their step; with `*` where they are an exchange's own.
        begin: of the block, in milliseconds since the epoch.
        block: what `pack` made.
        checked: whether a checksum has told that it is as it was.

    Raises:
        PackedBarsError: it is none, is damaged, or of a version that is not known.
    """
    try:
        read = _decode(block)
        columns = [_unpacked(column) for column in read.columns]
        lengths = {len(column) for column in columns}
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise PackedBarsError(str(error)) from None
    if read.version != _VERSION or len(lengths) != 1 or len(columns) not in {5, 6}:
        raise PackedBarsError("not a block of this version")
    if not checked:
        _check(read, columns)
    series = candles.series(step)
    times = columns[0]
    if times:
        first, last = times[0] * series.step.ms, times[-1] * series.step.ms
        if not begin <= first <= last < begin + SPANS[series.step.name]:
            raise PackedBarsError("bars of another time")
    places, volume_places = candles.measure(read.places, read.volume_places)
    scaled: list[Sequence[int]] = [times]
    scaled += [_scaled(column, 10 ** (places - read.places)) for column in columns[1:5]]
    scaled += [_scaled(c, 10 ** (volume_places - read.volume_places)) for c in columns[5:]]
    series.append(scaled)
    if read.complete_from is not None:
        series.complete_from = max(series.complete_from, read.complete_from)


def _check(block: _Block, columns: Sequence[Sequence[int]]) -> None:
    """See whether numbers without a checksum can be bars at all."""
    if not all(0 <= places <= _MOST_PLACES for places in (block.places, block.volume_places)):
        raise PackedBarsError("decimals that there cannot be")
    times, *prices = columns
    if not all(map(lt, times, islice(times, 1, None))):
        raise PackedBarsError("bars that are not in their order")
    for opening, high, low, close, *_ in zip(*prices, strict=True):
        if not 0 < low <= min(opening, close) <= max(opening, close) <= high:
            raise PackedBarsError("bars that there cannot be")


def _packed(column: Sequence[int]) -> _Column:
    if not isinstance(column, array):
        return [str(number) for number in column]
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return column.typecode.encode() + column.tobytes()


def _unpacked(column: _Column) -> Sequence[int]:
    if isinstance(column, list):
        return [int(text) for text in column]
    if column[:1] not in {b"i", b"q"}:
        raise ValueError(f"a column of type {column[:1]!r}")
    numbers = array(column[:1].decode())
    numbers.frombytes(column[1:])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _scaled(column: Sequence[int], factor: int) -> Sequence[int]:
    if factor == 1:
        return column
    return [number if number < 0 else number * factor for number in column]
