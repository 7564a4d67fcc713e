"""The opening handshake: from a request head to a refusal or a candidate.

Rules for this module: pure; values in, values out. It decides all that can be decided
without asking anybody; whether the token is genuine is asked afterwards, by the gateway.
The order of the checks is the order of the table in docs/protocol.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

import attrs
from wsproto.utilities import generate_accept_token

from ticker import limits
from ticker.http.head import Head
from ticker.protocol.paths import BEARER_PREFIX, SUBPROTOCOL
from ticker.settings.readers import TokenPlace, origin

#: What a token is called in a query or a cookie.
TOKEN_NAME: Final = "x-auth-token"  # noqa: S105 - the parameter's name
_KEY_BYTES: Final = 16
_VERSION: Final = "13"


@attrs.frozen
class Refusal:
    """An answer before any upgrade.

    Attributes:
        status: the HTTP status code.
        error: the text for the client.
        reason: what metrics and logs call it.
        headers: what else to say.
    """

    status: int
    error: str
    reason: str
    headers: Mapping[str, str] = attrs.field(factory=dict)

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
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class RefusedError(Exception):
    """A request is refused; `refusal` is what to answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


@attrs.frozen
class Candidate:
    """A well-formed request for a stream, not yet authenticated."""

    token: str = attrs.field(repr=False)
    key: str
    subprotocol: str | None

    def response(self) -> bytes:
        """Return the answer that accepts it (RFC 6455 §4.2.2), with nothing but our own words."""
        accept = generate_accept_token(self.key.encode("ascii")).decode("ascii")
        chosen = f"sec-websocket-protocol: {self.subprotocol}\r\n" if self.subprotocol else ""
        return (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-accept: {accept}\r\n{chosen}\r\n"
        ).encode("ascii")


METHOD: Final = Refusal(405, "method not allowed", "method", {"allow": "GET"})
NO_UPGRADE: Final = Refusal(
    426,
    "websocket upgrade required",
    "no_upgrade",
    {"upgrade": "websocket", "sec-websocket-version": _VERSION},
)
BAD_VERSION: Final = Refusal(
    426, "websocket version 13 required", "bad_version", {"sec-websocket-version": _VERSION}
)
BAD_KEY: Final = Refusal(400, "sec-websocket-key must be 16 bytes in base64", "bad_key")
BAD_REQUEST: Final = Refusal(
    400, "a websocket request has one host, and nothing after its head", "bad_request"
)
BAD_TARGET: Final = Refusal(400, "the request's target cannot be read", "bad_target")
NO_TOKEN: Final = Refusal(
    401, "authentication required", "no_token", {"www-authenticate": 'Bearer realm="ticker"'}
)
TWO_TOKENS: Final = Refusal(400, "more than one token", "two_tokens")
INVALID_TOKEN: Final = Refusal(
    401,
    "invalid token",
    "invalid_token",
    {"www-authenticate": 'Bearer realm="ticker", error="invalid_token"'},
)
ORIGIN: Final = Refusal(403, "origin not allowed", "origin")
FORBIDDEN: Final = Refusal(403, "forbidden", "forbidden")
NOT_FOUND: Final = Refusal(404, "not found", "not_found")
HTTP_VERSION: Final = Refusal(505, "HTTP/1.1 required", "http_version")
_RETRY: Final = {"retry-after": str(limits.RETRY_AFTER_SECONDS)}
DRAINING: Final = Refusal(503, "the server restarts", "draining", _RETRY)
FULL: Final = Refusal(503, "the server is full", "full", _RETRY)
TOO_MANY_STREAMS: Final = Refusal(429, "too many streams", "too_many_streams", _RETRY)
UNAVAILABLE: Final = Refusal(503, "database unavailable", "database", _RETRY)
TOO_MANY_CONNECTIONS: Final = Refusal(503, "too many connections", "connections", _RETRY)


def too_many_refusals(wait: float) -> Refusal:
    """Refuse an address that was refused too often; it may try again in `wait` seconds."""
    headers = {"retry-after": str(math.ceil(wait))}
    return Refusal(429, "too many refused handshakes", "refused_rate", headers)


def examine(
    head: Head,
    *,
    token_from: Sequence[TokenPlace],
    allowed_origins: Sequence[str],
    secure: bool,
) -> Candidate:
    """Check everything about a request for a stream but its token's worth.

    Args:
        head: the request.
        token_from: where it may carry its token.
        allowed_origins: exact origins besides our own, or `*`.
        secure: whether the client reached us over TLS.

    Raises:
        RefusedError: with what to answer instead.
    """
    if head.method != "GET":
        raise RefusedError(METHOD)
    if not head.upgrades_to("websocket") or head.version < "1.1":
        raise RefusedError(NO_UPGRADE)
    if head.all(b"sec-websocket-version") != [_VERSION]:
        raise RefusedError(BAD_VERSION)
    if not _good_key(head.all(b"sec-websocket-key")):
        raise RefusedError(BAD_KEY)
    if len(head.all(b"host")) != 1 or head.body_bytes != 0 or head.rest:
        raise RefusedError(BAD_REQUEST)
    offered = head.tokens(b"sec-websocket-protocol")
    token = find_token(head, offered, token_from)
    if not origin_allowed(head, allowed_origins, secure=secure):
        raise RefusedError(ORIGIN)
    return Candidate(
        token=token,
        key=head.all(b"sec-websocket-key")[0],
        subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
    )


def find_token(head: Head, offered: Sequence[str], token_from: Sequence[TokenPlace]) -> str:
    """Return the one token of a request.

    Raises:
        RefusedError: there is none in an allowed place, or more than one (RFC 6750 §2).
    """
    tokens: list[str] = []
    if "header" in token_from:
        for value in head.all(b"authorization"):
            scheme, _, credentials = value.partition(" ")
            if scheme.lower() == "bearer":
                tokens.append(credentials.strip())
    if "subprotocol" in token_from:
        tokens += [
            word.removeprefix(BEARER_PREFIX) for word in offered if word.startswith(BEARER_PREFIX)
        ]
    if "query" in token_from:
        tokens += parse_qs(head.query, keep_blank_values=True).get(TOKEN_NAME, [])
    if "cookie" in token_from:
        tokens += _cookie_tokens(head)
    if not tokens:
        raise RefusedError(NO_TOKEN)
    if len(tokens) > 1:
        raise RefusedError(TWO_TOKENS)
    return tokens[0]


def origin_allowed(head: Head, allowed: Sequence[str], *, secure: bool) -> bool:
    """Say whether the page that asks may (RFC 6455 §10.2); a client without one is no browser."""
    values = head.all(b"origin")
    if not values:
        return True
    if "*" in allowed:
        return True
    if len(values) > 1:
        return False
    try:
        asked = origin(values[0])
        own = origin(f"{'https' if secure else 'http'}://{head.first(b'host') or ''}")
    except ValueError:
        return False
    return asked == own or asked in allowed


def _cookie_tokens(head: Head) -> list[str]:
    found = []
    for line in head.all(b"cookie"):
        try:
            cookies = SimpleCookie(line)
        except CookieError:
            continue
        if TOKEN_NAME in cookies:
            found.append(cookies[TOKEN_NAME].value)
    return found


def _good_key(values: Sequence[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
