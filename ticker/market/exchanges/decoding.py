"""Reading what exchanges send: what is malformed costs itself, and nothing that came with it.

Rules for this module: pure. A message, an answer of REST and an entry of either that cannot be what
the exchange documents raise `BadMessage`; one of several entries is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

__all__ = [
    "UNREADABLE",
    "BadMessage",
    "Entries",
    "Unavailable",
    "decoded",
    "decoded_amply",
    "good_ones",
    "whole_number",
]

_T = TypeVar("_T")
_A = TypeVar("_A")
_R = TypeVar("_R")

#: What reading raises on bytes that are not what is looked for: no JSON, JSON of another shape,
#: however deeply nested, and numbers that cannot be reckoned with.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError)

#: A time in nanoseconds has 19 digits.
_DIGITS: Final = 20


class BadMessage(Exception):  # noqa: N818 - it is a message, not a program, that is wrong
    """A message is not what its exchange documents. The text is short and for the log."""


class Unavailable(BadMessage):
    """An exchange answers that it cannot answer now, or with something that is no answer of its.

    As with too many requests, or a page of HTML: it is to be asked again later.
    """


def decoded(decoder: msgspec.json.Decoder[_T], raw: bytes | str | msgspec.Raw) -> _T:
    """Decode a message of the stream, or an answer of REST; raises BadMessage."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise BadMessage(str(error)) from None
    except UNREADABLE as error:
        raise Unavailable(f"no JSON: {error}") from None


def decoded_amply(
    ample: msgspec.json.Decoder[_A], bare: msgspec.json.Decoder[_T], raw: bytes | str
) -> _A | _T:
    """Decode with all details or, where one of them is malformed, without any.

    A price is not to be lost for what comes with it.

    Raises:
        msgspec.MsgspecError: it cannot be decoded without them either.
    """
    try:
        return ample.decode(raw)
    except msgspec.ValidationError:
        return bare.decode(raw)


class Entries(Generic[_T]):
    """Decodes a list whose entries do not depend on each other."""

    def __init__(self, kind: type[_T]) -> None:
        self._all: msgspec.json.Decoder[list[_T]] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
        self._one = msgspec.json.Decoder(kind)
        self._raw = msgspec.json.Decoder(list[msgspec.Raw])

    def decode(self, raw: bytes | str | msgspec.Raw) -> Sequence[_T]:
        """Return the entries that make sense.

        Raises:
            BadMessage: it is no list, or none of its entries makes sense.
        """
        try:
            return self._all.decode(raw)
        except msgspec.ValidationError:
            raws = decoded(self._raw, raw)
            return good_ones(self._one.decode, raws)
        except UNREADABLE as error:
            raise Unavailable(f"no JSON: {error}") from None


def good_ones(read: Callable[[_R], _T], entries: Iterable[_R]) -> list[_T]:
    """Read each entry, and leave out those that make no sense.

    Raises:
        BadMessage: none of them does, of one or more.
    """
    found: list[_T] = []
    fault: Exception | None = None
    for entry in entries:
        try:
            found.append(read(entry))
        except (BadMessage, *UNREADABLE, ValueError) as error:
            fault = error
    if fault is not None and not found:
        raise BadMessage(str(fault)) from None
    return found


def whole_number(text: str) -> int | None:
    """Return a number that is written as text, as times are; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None
