"""A subscription in a query: `?symbols=A,B&mode=changes&interval_ms=100&resume=EPOCH:SEQ`.

The same fields as in a `subscribe` message, for a stream that is to begin so (docs/protocol.md).
Parameters of other names are other people's business, as a token's.

Rules for this module: pure; a query in, a request out.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

import msgspec

from ticker.protocol.requests import BadMessageError, Resume, Subscribe, check

_NAMES: Final = frozenset({"symbols", "interval_ms", "mode", "detail", "resume"})


class QueryError(Exception):
    """A query asks for no subscription that could be; the text says what is wrong."""


def read_subscription(query: str) -> Subscribe | None:
    """Read the subscription that a query asks for; None where it names none of its fields.

    Raises:
        QueryError: a field comes twice or holds what it cannot.
    """
    given = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] in _NAMES]
    if not given:
        return None
    fields = dict(given)
    if len(fields) != len(given):
        raise QueryError("a field of the subscription comes twice")
    values: dict[str, object] = dict(fields)
    if "symbols" in fields:
        values["symbols"] = fields["symbols"].split(",")
    if "interval_ms" in fields:
        values["interval_ms"] = _whole(fields["interval_ms"], "interval_ms")
    if "resume" in fields:
        values["resume"] = read_resume(fields["resume"])
    try:
        request = msgspec.convert({"type": "subscribe", **values}, Subscribe)
        check(request)
    except (msgspec.ValidationError, BadMessageError) as error:
        raise QueryError(str(error)) from None
    return request


def read_resume(text: str) -> Resume:
    """Read `EPOCH:SEQ`.

    Raises:
        QueryError: it is something else.
    """
    epoch, separator, seq = text.rpartition(":")
    if not separator:
        raise QueryError("resume must be EPOCH:SEQ")
    return Resume(epoch, _whole(seq, "resume's seq"))


def read_event_id(text: str) -> Resume:
    """Read a `Last-Event-ID`; one of another server is the id of no frame there is.

    A client would take a refusal for the end of the stream.
    """
    try:
        resume = read_resume(text)
        check(Subscribe(resume=resume))
    except (QueryError, BadMessageError):
        return Resume("unknown", 0)
    return resume


def _whole(text: str, name: str) -> int:
    # Digits of ASCII alone; `int` would take those of every script, signs and underlines too.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):  # noqa: PLR2004 - 2^64's
        raise QueryError(f"{name} must be a whole number")
    return int(text)
