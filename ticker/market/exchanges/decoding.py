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
    "Tolerant",
    "Unavailable",
    "decoded",
    "good_ones",
    "whole_number",
]

_T = TypeVar("_T")
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


class Tolerant(Generic[_T]):
    """Decodes an object some of whose fields may be malformed: each of those is left out.

    A price is not to be lost for what comes with it, nor one detail for another.
    """

    def __init__(self, kind: type[_T], spare: Iterable[str] = ()) -> None:
        """Prepare.

        Args:
            kind: a struct.
            spare: its fields, each with a default, that may be left out.
        """
        self._whole = msgspec.json.Decoder(kind)
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._spare: dict[str, msgspec.json.Decoder[object]] = {
            field.encode_name: msgspec.json.Decoder(field.type)
            for field in (msgspec.structs.fields(kind) if spare else ())  # type: ignore[arg-type]
            if field.name in spare
        }

    def decode(self, raw: bytes | str | msgspec.Raw) -> _T:
        """Return the object.

        Raises:
            UNREADABLE: it is none, whatever is left out.
        """
        try:
            return self._whole.decode(raw)
        except UNREADABLE:
            if not self._spare:
                raise
        fields = self._fields.decode(raw)
        good = {name: value for name, value in fields.items() if self._fits(name, value)}
        return self._whole.decode(msgspec.json.encode(good))

    def _fits(self, name: str, value: msgspec.Raw) -> bool:
        try:
            if name in self._spare:
                self._spare[name].decode(value)
        except UNREADABLE:
            return False
        return True


class Entries(Generic[_T]):
    """Decodes a list whose entries do not depend on each other."""

    def __init__(self, kind: type[_T], spare: Iterable[str] = ()) -> None:
        """Prepare; an entry is decoded as by `Tolerant` where not all are as they should be."""
        self._all: msgspec.json.Decoder[list[_T]] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
        self._one = Tolerant(kind, spare)
        self._raw = msgspec.json.Decoder(list[msgspec.Raw])

    def decode(self, raw: bytes | str | msgspec.Raw) -> Sequence[_T]:
        """Return the entries that make sense.

        Raises:
            BadMessage: it is no list, or none of its entries makes sense.
        """
        try:
            return self._all.decode(raw)
        except (msgspec.ValidationError, ArithmeticError):
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
