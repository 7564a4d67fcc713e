"""Blocks and rows of the journal as they lie in a store, and whether they are what was written.

Rules for this module: pure; what is read is of any type and any content, until it was looked at.

Theory of operation. A record is MessagePack behind a seal: a byte that tells its kind, and the
CRC-32 of its key, its number and itself, since SQLite has no checksums of its own. Damage of the
key would show prices of one symbol as those of another, or seconds as minutes; damage of the number
would have an old row of the journal count as a new one. Records of earlier versions are read:

| first byte | the checksum is of | written to files of version |
| --- | --- | --- |
| 0xc0 | the key, the number and the record | 3 |
| 0xc1 | the record alone | 2 |
| as MessagePack has it | there is none | 1 |
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.candles import STEPS
from ticker.market.packed_bars import block_begin
from ticker.storage.history_store import Block, DamagedRecordError, JournalRow

__all__ = [
    "PART",
    "open_block",
    "read_number",
    "read_rows",
    "read_text",
    "seal_block",
    "seal_rows",
    "write_rows",
]

#: Times in milliseconds, and numbers of rows at one a second, are less: others are damage.
_MOST: Final = 2**53
#: What stands between the step of a row and the life that it is a part of.
PART: Final = "+"
_KEYED: Final = b"\xc0"
_BARE: Final = b"\xc1"
_SEAL_BYTES: Final = 5
#: The steps of blocks, those of bars of an exchange's own as well.
_STEPS: Final = frozenset({*STEPS, *(f"{name}*" for name in STEPS)})
#: The largest power of ten, and the most decimals, of a number that no checksum vouches for.
_MOST_EXPONENT: Final = 100

_key: Final = msgspec.msgpack.Encoder().encode
_encoder: Final = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: Final = msgspec.msgpack.Decoder(list[JournalRow])


# --- blocks


def seal_block(block: Block, number: int) -> bytes:
    """Write the bars of a block as of a row of the journal."""
    return _sealed(block.bars, block.symbol, block.step, block.begin, number)


def open_block(
    symbol: object, step: object, begin: object, number: object, bars: object
) -> Block | DamagedRecordError:
    """Return a block of what lies in a store, or what is wrong with it.

    Args:
        symbol: a text, maybe as its bytes.
        step: as the symbol.
        begin: a whole number, of milliseconds.
        number: a whole number.
        bars: what `seal_block` made.
    """
    try:
        key, at = _block_key(symbol, step, begin), read_number(number)
        body, checked = _opened(bars, *key, at)
    except DamagedRecordError as error:
        return error
    return Block(*key, body, at, checked)


def _block_key(symbol: object, step: object, begin: object) -> tuple[str, str, int]:
    key = read_text(symbol), read_text(step), read_number(begin)
    if key[1] not in _STEPS or block_begin(key[1], key[2]) != key[2]:
        raise DamagedRecordError("a block of a step or a time that there is not")
    return key


# --- the journal


def write_rows(rows: Sequence[JournalRow]) -> bytes:
    """Write rows of the journal; for `Changes`, since a store numbers and seals them."""
    return _encoder.encode(rows)


def seal_rows(written: bytes, number: int) -> bytes:
    """Return what lies in a store of rows, which have one number."""
    return _sealed(written, number)


def read_rows(number: int, sealed: object) -> list[JournalRow]:
    """Read rows of the journal.

    Raises:
        DamagedRecordError: they are none, or not what was written.
    """
    body, checked = _opened(sealed, number)
    try:
        rows = _decoder.decode(body)
    except (msgspec.MsgspecError, ArithmeticError, ValueError) as error:
        raise DamagedRecordError(f"a row of the journal: {error}") from None
    for row in rows:
        step = STEPS.get(row.step.partition(PART)[0])
        if step is None or not 0 <= row.begin < _MOST or row.begin % step.ms:
            raise DamagedRecordError("a bar of a step or a time that there is not")
        if not checked:
            _check(row)
    return rows


def _check(row: JournalRow) -> None:
    """See whether numbers without a checksum can be a bar at all."""
    prices = [row.open, row.high, row.low, row.close]
    for number in (*prices, Decimal(1) if row.volume is None else row.volume):
        if not (number.is_finite() and _fits(number)):
            raise DamagedRecordError("a number that there cannot be")
    if not 0 < row.low == min(prices) <= max(prices) == row.high:
        raise DamagedRecordError("a bar that there cannot be")
    if row.volume is not None and row.volume < 0:
        raise DamagedRecordError("a volume that there cannot be")


def _fits(number: Decimal) -> bool:
    exponent = int(number.as_tuple().exponent)
    return abs(number.adjusted()) <= _MOST_EXPONENT and abs(exponent) <= _MOST_EXPONENT


# --- seals


def _sealed(body: bytes, *key: object) -> bytes:
    return _KEYED + _checksum(body, _key(key)) + body


def _opened(sealed: object, *key: object) -> tuple[bytes, bool]:
    """Return what is behind a seal, and whether there was a checksum, which fits.

    Raises:
        DamagedRecordError: it does not fit.
    """
    if not isinstance(sealed, bytes) or not sealed:
        raise DamagedRecordError("no bytes where a record was")
    kind, body = sealed[:1], sealed[_SEAL_BYTES:]
    if kind not in {_KEYED, _BARE}:
        return sealed, False
    if sealed[1:_SEAL_BYTES] != _checksum(body, _key(key) if kind == _KEYED else b""):
        raise DamagedRecordError("the checksum is another")
    return body, True


def _checksum(body: bytes, key: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(key)).to_bytes(_SEAL_BYTES - 1, "big")


# --- values


def read_text(value: object) -> str:
    """Return a name; raises DamagedRecordError where there is none."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        text = None
    if not isinstance(text, str):
        raise DamagedRecordError("no text where a name was")
    return text


def read_number(value: object) -> int:
    """Return a time or the number of a row; raises DamagedRecordError where there is none."""
    if not isinstance(value, int) or not 0 <= value < _MOST:
        raise DamagedRecordError("no number where one was")
    return value
