"""What goes wrong on the way to an exchange, as one kind of fault with one line of text.

The text holds no more of an address than host and port.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import h11
import trio
from trio_websocket import ConnectionClosed, HandshakeError
from wsproto.utilities import ProtocolError

from ticker.exception_groups import causes, first
from ticker.market.exchanges.decoding import BadMessage, Unavailable
from ticker.market.sources import SourceError

__all__ = [
    "BROKEN",
    "FeedError",
    "MessageTooBigError",
    "StatusError",
    "is_wrong",
    "one_fault",
    "why",
]

#: What a connection raises that does not work, or not any more.
BROKEN: Final = (
    HandshakeError,
    ConnectionClosed,
    ProtocolError,
    h11.ProtocolError,
    ssl.SSLError,
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)


#: Answers to a question that is wrong, rather than to one too many.
_WRONG: Final = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}


class FeedError(SourceError):
    """A feed ended that should not have. The supervisor starts it again."""


class MessageTooBigError(FeedError):
    """The exchange sent a message longer than `FEED_MESSAGE_BYTES`."""


class StatusError(FeedError):
    """The exchange, or a proxy on the way, answered with an HTTP status that is a refusal.

    Attributes:
        status: as in 429.
    """

    def __init__(self, reason: str, status: int, *, retry_after: float = 0.0) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.status = status


@contextmanager
def one_fault(place: str) -> Iterator[None]:
    """Turn what is expected to go wrong, alone or in a group as of a nursery, into one fault.

    Raises:
        FeedError: an expected fault of a connection, with the place it was to.
        SourceConfigError: as it was.
    """
    fault: BaseException | None = None
    try:
        yield
    except* SourceError as group:
        fault = first(group)
    except* BROKEN as group:
        fault = fault or FeedError(f"{place}: {why(first(group))}")
    if fault is not None:
        raise fault


def why(error: BaseException) -> str:
    """Return what went wrong, in the words of its deepest cause."""
    if isinstance(error, ConnectionClosed) and error.reason is not None:
        return f"closed with {error.reason.code} {error.reason.reason or ''}".rstrip()
    *_, cause = causes(error)
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def is_wrong(error: StatusError | BadMessage) -> bool:
    """Tell whether a question to REST is wrong, rather than one too many or at a bad time."""
    if isinstance(error, StatusError):
        return error.status in _WRONG
    return not isinstance(error, Unavailable)
