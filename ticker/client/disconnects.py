"""What a lost or refused connection means: come back, come back with a new token, or give up.

Rules for this module: pure. Each function takes what the server said and returns the
exception to raise: a `Retry` is mended by connecting again and never reaches the user of
the library; a `TickerError` is not, and does. The classes of close codes are those of
docs/protocol.md: 40xx terminal, 41xx and 10xx connect again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from ticker.client.errors import (
    AuthenticationError,
    ForbiddenError,
    ProtocolError,
    TickerError,
)
from ticker.client.limits import RETRY_AFTER_MAXIMUM_SECONDS
from ticker.protocol.close_codes import CloseCode

NEW_KEY = "create a new API key with `ticker keys create`, or check for a typing error"


class Retry(Exception):  # noqa: N818 - it is a decision, not an error
    """Connect again, with backoff, and not before `after_seconds`."""

    def __init__(self, cause: str, after_seconds: float = 0.0) -> None:
        super().__init__(cause)
        self.after_seconds = bounded_wait(after_seconds)


class StaleToken(Retry):
    """Connect again with a new token."""


class ForeignAnswer(Retry):
    """An answer that no Ticker server gives, be it the wrong URL or a proxy's page of maintenance.

    It is final where there has been no stream, and passes where there has been one.

    Attributes:
        status: of the answer.
    """

    def __init__(self, cause: str, status: int) -> None:
        super().__init__(cause)
        self.status = status


class ProtocolViolation(Retry):
    """The peer broke the protocol: worth another try, but not for ever."""


class QueryRefused(Retry):
    """The handshake's subscription was refused: ask for it by message, which tells why."""


class ConsumerBehind(Retry):
    """The program takes the ticks of `every` too slowly: go on once it has caught up."""


def of_close(code: int, reason: str | None) -> Retry | TickerError:
    """The meaning of a WebSocket close code; 1006 where there was no close frame."""
    said = f"the server closed the stream with code {code}" + (f": {reason}" if reason else "")
    match code:
        case CloseCode.BAD_MESSAGES:
            return ProtocolError(f"{said}; it found our messages malformed, upgrade `ticker`", code)
        case CloseCode.UNAUTHENTICATED:
            return StaleToken(f"{said}; the token has expired or was revoked")
        case CloseCode.TOO_MANY_MESSAGES:
            return ProtocolError(f"{said}; send fewer than 20 messages a second", code)
        case 1006:
            return Retry("the connection was lost")
        case _ if 4000 <= code < 4100:  # noqa: PLR2004 - the class 40xx
            return ProtocolError(f"{said}; mend the cause before connecting again", code)
        case _:
            return Retry(said)


def of_handshake(status: int, retry_after: str) -> Retry | TickerError:
    """The meaning of an HTTP status in place of the WebSocket upgrade."""
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return StaleToken("the server did not accept the token (401)")
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(
                "the server forbids this stream (403); ask its operator for a role that may connect"
            )
        case _:
            return _of_status(status, retry_after, "the stream")


def of_exchange(status: int, retry_after: str) -> Retry | TickerError:
    """The meaning of any status but 200 where an API key was exchanged for a token."""
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return AuthenticationError(
                "the server does not accept the API key: it is unknown, revoked or expired; "
                + NEW_KEY
            )
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError("the server forbids this API key to get a token (403)")
        case _:
            return _of_status(status, retry_after, "the token endpoint")


def _of_status(status: int, retry_after: str, what: str) -> Retry | TickerError:
    passing = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
    if status in passing or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Retry(f"{what} is not available now ({status})", seconds_of(retry_after))
    return ForeignAnswer(f"{what} answered with status {status}, as no Ticker server does", status)


def seconds_of(retry_after: str) -> float:
    """A `Retry-After` header (RFC 9110 section 10.2.3) in seconds; 0 where it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return bounded_wait(float(text))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:  # the zone "-0000"
        moment = moment.replace(tzinfo=UTC)
    return bounded_wait((moment - datetime.now(UTC)).total_seconds())


def bounded_wait(seconds: float) -> float:
    """The wait that a server asks for in seconds, bounded."""
    return min(max(seconds, 0.0), RETRY_AFTER_MAXIMUM_SECONDS)
