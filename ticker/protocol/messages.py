"""What the server says on a stream, but for the prices.

Rules for this module: values only. What stands here is docs/protocol.md in code. Prices are
written by `ticker.encodings` without a struct, since they are written most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ticker.protocol.details import Detail, Mode
from ticker.protocol.requests import NO_ID, RequestId


class Message(msgspec.Struct, tag_field="type", omit_defaults=True):
    """What the server says. A field at its default is left out."""


class Welcome(Message, tag="welcome", kw_only=True):
    """The first message of every stream."""

    user_id: str
    role: str
    symbols: Sequence[str]
    tick_ms: float
    expires_in: int
    time: int
    version: str
    epoch: str
    seq: int


class Pong(Message, tag="pong"):
    """The answer to `ping`."""

    id: RequestId = NO_ID


class Subscribed(Message, tag="subscribed", kw_only=True):
    """The answer to `subscribe`, with what is in force from now on.

    `seq` is that of the last tick; `resumed` is left out where it was not asked for.
    """

    id: RequestId = NO_ID
    symbols: Sequence[str]
    interval_ms: float
    mode: Mode
    detail: Detail
    epoch: str
    seq: int
    resumed: bool | None = None


class Epoch(Message, tag="epoch", kw_only=True):
    """From the next frame on, `seq` counts in another epoch.

    Nothing was lost where that frame goes on from the one before; where it is a snapshot, some
    ticks may have been.
    """

    epoch: str


class Unsubscribed(Message, tag="unsubscribed"):
    """The answer to `unsubscribe`."""

    id: RequestId = NO_ID


class Authenticated(Message, tag="authenticated", kw_only=True):
    """The answer to `auth`."""

    id: RequestId = NO_ID
    expires_in: int


class Status(Message, tag="status", kw_only=True):
    """A source went stale or live; `since` in milliseconds since the epoch.

    `symbols` where only those are stale, and `reasons` for each of them why.
    """

    state: Literal["live", "stale"]
    source: str
    since: int
    symbols: Sequence[str] = ()
    reason: str = ""
    reasons: Mapping[str, str] = {}


class Error(Message, tag="error", kw_only=True):
    """Something a client asked for was not done; the stream goes on."""

    id: RequestId = NO_ID
    code: Literal["bad_message", "unknown_symbol", "forbidden", "invalid_token", "unavailable"]
    message: str


class Closing(Message, tag="closing", kw_only=True):
    """The server is about to close; come back after so many milliseconds."""

    code: int
    retry_after_ms: int
