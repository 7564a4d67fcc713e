"""Requests that are refused before anything is done for them: the answers, and who gets them.

A refusal is a value. Those that any part of HTTP may give stand here; those of a handshake alone
in `streams/handshake.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import attrs
import structlog
import trio

from ticker import limits
from ticker.addresses import limit_key
from ticker.metrics import Metrics
from ticker.rate_limit import Limiter

log = structlog.get_logger()


@attrs.frozen
class Refusal:
    """An answer that refuses a request.

    Attributes:
        status: the HTTP status code.
        error: the text for the client.
        reason: what metrics and logs call it.
        headers: what else to say.
        counts: whether it counts towards the limit of its address: where it may be a guess.
        late: whether it is answered late, since it counts for no address or is beyond its
            limit: so that asking again at once gains nothing.
        bodiless: whether it answers HEAD, which has a body's headers and none (RFC 9110 §9.3.2).
    """

    status: int
    error: str
    reason: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    counts: bool = attrs.field(default=False, kw_only=True)
    late: bool = attrs.field(default=False, kw_only=True)
    bodiless: bool = attrs.field(default=False, kw_only=True)

    def to(self, method: str) -> Refusal:
        """Return this refusal as the answer to a request of some method."""
        return attrs.evolve(self, bodiless=True) if method == "HEAD" else self

    def response(self) -> bytes:
        """Return the whole HTTP response; the connection closes after it."""
        body = json.dumps({"error": self.error}).encode()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            "connection: close",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head if self.bodiless else head + body


class RefusedError(Exception):
    """A request is refused; `refusal` is what to answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


#: For an answer that passes: when to try again.
RETRY: Final = {"retry-after": str(limits.RETRY_AFTER_SECONDS)}

NO_TOKEN: Final = Refusal(
    401,
    "authentication required",
    "no_token",
    {"www-authenticate": 'Bearer realm="ticker"'},
    counts=True,
)
TWO_TOKENS: Final = Refusal(400, "more than one token", "two_tokens", counts=True)
INVALID_TOKEN: Final = Refusal(
    401,
    "invalid token",
    "invalid_token",
    {"www-authenticate": 'Bearer realm="ticker", error="invalid_token"'},
    counts=True,
)
ORIGIN: Final = Refusal(403, "origin not allowed", "origin", late=True)
FORBIDDEN: Final = Refusal(403, "forbidden", "forbidden")
UNAVAILABLE: Final = Refusal(503, "database unavailable", "database", RETRY)


def malformed(status: int) -> Refusal:
    """Refuse what is no HTTP/1.1 request, with the status that h11 found for it."""
    return Refusal(status, HTTPStatus(status).phrase.lower(), "malformed")


def too_many_refusals(wait: float) -> Refusal:
    """Refuse an address that was refused too often; it may try again in `wait` seconds."""
    headers = {"retry-after": str(math.ceil(wait))}
    return Refusal(429, "too many refused handshakes", "refused_rate", headers, late=True)


class RefusalCounter:
    """The one place where refused credentials are counted, of handshakes and of HTTP alike.

    An address that is beyond the limit is refused at once, but for a token that is known to be
    good: a client that shares its address with one that guesses goes on.
    """

    def __init__(self, addresses: Limiter, metrics: Metrics) -> None:
        self._addresses = addresses
        self._metrics = metrics

    def wait(self, address: str) -> float:
        """Say how long an address is beyond the limit, in seconds; 0.0 while it is within."""
        return self._addresses.wait(limit_key(address), trio.current_time())

    def handshake(self, refusal: Refusal, address: str, *, foreign: bool) -> None:
        """Note a refused handshake.

        Args:
            refusal: what it is answered.
            address: the client's.
            foreign: whether a page asked that may not: then it counts against no address, or any
                page could lock its visitors out here.
        """
        self._metrics.handshake_refused(refusal.reason)
        log.info("handshake_refused", reason=refusal.reason, address=address)
        if refusal.counts and not foreign:
            self._count(address)

    def request(self, refusal: Refusal, address: str) -> None:
        """Note a request over HTTP whose token was refused.

        One without a token counts against no address: any page can have a browser send that.
        """
        self._metrics.request_refused(refusal.reason)
        log.info("request_refused", reason=refusal.reason, address=address)
        if refusal.counts and refusal is not NO_TOKEN:
            self._count(address)

    def _count(self, address: str) -> None:
        self._addresses.admit(limit_key(address), trio.current_time())
