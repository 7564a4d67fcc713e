"""What a client may say on a stream.

Rules for this module: values only. What stands here is docs/protocol.md in code; how a request
is read from bytes is the business of `ticker.encodings`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ticker import limits
from ticker.protocol.details import Detail, Mode

#: A request's `id`, encoded as it came in: a number or a text. Kept so, any number comes back
#: exactly, even one that no Python type has room for.
RequestId = msgspec.Raw
NO_ID: Final = msgspec.Raw(b"null")


class Ping(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """A client asks for a sign of life."""

    id: RequestId = NO_ID


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """The frame after which a client wants to go on."""

    epoch: str
    seq: int


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """A client chooses what it is sent.

    Attributes:
        symbols: None for all that it may see.
        interval_ms: None for every tick.
        mode: what of the market a frame holds; None for `latest`.
        detail: what of a quote is shown; None for `price`.
        resume: go on after that frame; None for a snapshot first.
    """

    symbols: list[str] | None = None
    interval_ms: int | None = None
    mode: Mode | None = None
    detail: Detail | None = None
    resume: Resume | None = None
    id: RequestId = NO_ID


class Unsubscribe(msgspec.Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    """A client wants no more prices; the connection stays."""

    id: RequestId = NO_ID


class Auth(msgspec.Struct, tag_field="type", tag="auth", forbid_unknown_fields=True):
    """A client renews its token in-band."""

    token: str
    id: RequestId = NO_ID

    def __repr__(self) -> str:
        return f"Auth(id={bytes(self.id)!r})"


Request = Ping | Subscribe | Unsubscribe | Auth


class BadMessageError(Exception):
    """A message is no request.

    Its text says why, and may quote the message, so also a token in a wrong place.

    Attributes:
        id: the one it carried, where it could be found.
    """

    def __init__(self, text: str, request_id: RequestId = NO_ID) -> None:
        super().__init__(text)
        self.id = request_id


def check(request: Request) -> None:
    """Check the values of a request; raises BadMessageError where one is out of bounds."""
    if not isinstance(request, Subscribe):
        return
    if request.symbols is not None and not request.symbols:
        raise BadMessageError("symbols must not be empty; leave it out for all", request.id)
    if request.interval_ms is not None and not 1 <= request.interval_ms <= limits.INTERVAL_MAX_MS:
        raise BadMessageError(
            f"interval_ms must be between 1 and {limits.INTERVAL_MAX_MS}", request.id
        )
    if request.interval_ms is not None and request.mode == "every":
        raise BadMessageError("the mode every has no interval_ms", request.id)
    resume = request.resume
    if resume is not None and not (
        0 < len(resume.epoch) <= limits.EPOCH_CHARS and 0 <= resume.seq <= limits.SEQ_MAX
    ):
        raise BadMessageError("resume is no epoch and seq of this stream's", request.id)
