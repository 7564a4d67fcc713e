"""The requests of a client as typed values, and their encoding, also as a handshake's query.

Rules for this module: values only, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args
from urllib.parse import urlencode

import msgspec

from ticker.protocol.details import DETAILS, Detail, Mode


class Resume(msgspec.Struct, frozen=True):
    """A place in the stream: the frame after which to go on.

    Attributes:
        epoch: which run of the market it is of.
        seq: the last tick that is held, with all before it.
    """

    epoch: str
    seq: int


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", omit_defaults=True):
    """Ask for these symbols, no faster than the interval; it replaces the subscription."""

    symbols: tuple[str, ...] | None = None
    interval_ms: int | None = None
    mode: Mode | None = None
    detail: Detail | None = None
    resume: Resume | None = None
    id: int | None = None


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True, tag="unsubscribe", omit_defaults=True):
    """Ask for no more prices."""

    id: int | None = None


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping", omit_defaults=True):
    """Ask for a sign of life."""

    id: int | None = None


class Authenticate(msgspec.Struct, frozen=True, kw_only=True, tag="auth", omit_defaults=True):
    """Put a new token in place of the one that the stream began with."""

    token: str
    id: int | None = None

    def __repr__(self) -> str:
        return f"Authenticate(id={self.id!r})"


Request = Subscribe | Unsubscribe | Ping | Authenticate


def encode(request: Request) -> str:
    """The request as it goes over the wire."""
    return msgspec.json.encode(request).decode()


def subscription(
    symbols: Sequence[str] | None = None,
    interval_ms: int | None = None,
    mode: Mode | None = None,
    detail: Detail | None = None,
    resume: Resume | None = None,
) -> Subscribe:
    """The request for these symbols, or for all that the user may see.

    Raises:
        TypeError: `symbols` is one text.
        ValueError: there is no such mode or detail, or it does not go with the rest.
    """
    if isinstance(symbols, str):
        raise TypeError("symbols is a sequence of symbols, as in ['BTC-USD']")
    for value, known in ((mode, get_args(Mode)), (detail, DETAILS)):
        if value is not None and value not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
    if mode == "every" and interval_ms is not None:
        raise ValueError("the mode every has no interval_ms: it holds each tick")
    if resume is not None and mode not in {"changes", "every"}:
        raise ValueError("resume goes with the modes changes and every")
    return Subscribe(None if symbols is None else tuple(symbols), interval_ms, mode, detail, resume)


def query(request: Subscribe) -> str:
    """The same subscription as the query of a handshake; empty where it asks for nothing."""
    fields: dict[str, str | int] = {}
    if request.symbols is not None:
        fields["symbols"] = ",".join(request.symbols)
    if request.interval_ms is not None:
        fields["interval_ms"] = request.interval_ms
    if request.mode is not None:
        fields["mode"] = request.mode
    if request.detail is not None:
        fields["detail"] = request.detail
    if request.resume is not None:
        fields["resume"] = f"{request.resume.epoch}:{request.resume.seq}"
    return urlencode(fields, safe=",:")
