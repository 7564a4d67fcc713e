"""The opening handshake: from a request head to a refusal or a candidate.

Rules for this module: pure; values in, values out. It decides all that can be decided
without I/O; whether the token is good is asked afterwards, in `admit.py`.
The order of the checks is the order of the table in docs/protocol.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Final

import attrs
from wsproto.utilities import generate_accept_token

from ticker.encodings.deflate import accept_offer
from ticker.encodings.encoding import Encoding
from ticker.encodings.negotiation import choose_subprotocol, encoding_for
from ticker.http.bearer import find_token
from ticker.http.head import Head
from ticker.http.origin import origin_allowed
from ticker.http.refusal import ORIGIN, RETRY, Refusal, RefusedError, too_many_refusals
from ticker.protocol.paths import STREAM_PATH
from ticker.settings.readers import TokenPlace

_KEY_BYTES: Final = 16
_VERSION: Final = "13"


@attrs.frozen
class Candidate:
    """A well-formed request for a stream, not yet authenticated."""

    token: str = attrs.field(repr=False)
    key: str
    subprotocol: str | None
    extensions: str | None = None

    @property
    def encoding(self) -> Encoding:
        """How its messages are written."""
        return encoding_for(self.subprotocol, compressed=self.compressed)

    @property
    def compressed(self) -> bool:
        """Whether permessage-deflate is agreed on, the only extension there is."""
        return self.extensions is not None

    def response(self) -> bytes:
        """Return the answer that accepts it (RFC 6455 §4.2.2), with nothing but our own words."""
        accept = generate_accept_token(self.key.encode("ascii")).decode("ascii")
        chosen = f"sec-websocket-protocol: {self.subprotocol}\r\n" if self.subprotocol else ""
        if self.extensions:
            chosen += f"sec-websocket-extensions: {self.extensions}\r\n"
        return (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-accept: {accept}\r\n{chosen}\r\n"
        ).encode("ascii")


METHOD: Final = Refusal(405, "method not allowed", "method", {"allow": "GET"}, late=True)
NO_UPGRADE: Final = Refusal(
    426,
    "websocket upgrade required",
    "no_upgrade",
    {"upgrade": "websocket", "sec-websocket-version": _VERSION},
    late=True,
)
BAD_VERSION: Final = Refusal(
    426,
    "websocket version 13 required",
    "bad_version",
    {"sec-websocket-version": _VERSION},
    counts=True,
)
BAD_KEY: Final = Refusal(
    400, "sec-websocket-key must be 16 bytes in base64", "bad_key", counts=True
)
BAD_REQUEST: Final = Refusal(
    400, "a websocket request has one host, and nothing after its head", "bad_request", counts=True
)
BAD_TARGET: Final = Refusal(400, "the request's target cannot be read", "bad_target", late=True)
NOT_FOUND: Final = Refusal(404, "not found", "not_found", counts=True)
HTTP_VERSION: Final = Refusal(505, "HTTP/1.1 required", "http_version", late=True)
DRAINING: Final = Refusal(503, "the server restarts", "draining", RETRY)
FULL: Final = Refusal(503, "the server is full", "full", RETRY)
TOO_MANY_STREAMS: Final = Refusal(429, "too many streams", "too_many_streams", RETRY, late=True)
TOO_MANY_CONNECTIONS: Final = Refusal(503, "too many connections", "connections", RETRY)


def decide(
    head: Head,
    *,
    token_from: Sequence[TokenPlace],
    allowed_origins: Sequence[str],
    secure: bool,
    compression: bool = False,
    wait: float,
    known: Callable[[str], bool],
) -> Candidate:
    """Decide on a request for a stream as far as that needs neither time nor a database.

    Args:
        head: the request.
        token_from: where it may carry its token.
        allowed_origins: exact origins besides our own, or `*`.
        secure: whether the client reached us over TLS.
        compression: whether to agree on permessage-deflate where a client offers it.
        wait: for how long its address is beyond the limit of refusals, in seconds. Only a
            token that is known to be good is looked at meanwhile, and what counts against no
            address.
        known: whether a token is known to be good.

    Raises:
        RefusedError: with what to answer instead.
    """
    try:
        candidate = examine(
            head,
            token_from=token_from,
            allowed_origins=allowed_origins,
            secure=secure,
            compression=compression,
        )
    except RefusedError as error:
        counts = error.refusal.counts and origin_allowed(head, allowed_origins, secure=secure)
        if wait and counts:
            raise RefusedError(too_many_refusals(wait)) from None
        raise
    if wait and not known(candidate.token):
        raise RefusedError(too_many_refusals(wait))
    return candidate


def examine(
    head: Head,
    *,
    token_from: Sequence[TokenPlace],
    allowed_origins: Sequence[str],
    secure: bool,
    compression: bool = False,
) -> Candidate:
    """Check everything about a request for a stream but its token's worth.

    Raises:
        RefusedError: with what to answer instead.
    """
    if head.version >= "2":
        raise RefusedError(HTTP_VERSION)
    if not head.target_readable:
        raise RefusedError(BAD_TARGET)
    if head.path != STREAM_PATH:
        raise RefusedError(NOT_FOUND)
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
    token = find_token(head, token_from)
    if not origin_allowed(head, allowed_origins, secure=secure):
        raise RefusedError(ORIGIN)
    offered = head.tokens(b"sec-websocket-protocol")
    return Candidate(
        token=token,
        key=head.all(b"sec-websocket-key")[0],
        subprotocol=choose_subprotocol(offered),
        extensions=accept_offer(head.all(b"sec-websocket-extensions")) if compression else None,
    )


def _good_key(values: Sequence[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
