"""The words of the stream: messages both ways, and the bytes of a frame.

Rules for this module: pure; values in, values out; no I/O, no clock. What stands here is
docs/protocol.md in code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal

import msgspec

from ticker import limits
from ticker.market.quote import Quote
from ticker.protocol.close_codes import CloseCode
from ticker.redaction import redact

#: The subprotocol a client may offer, and the prefix of the one that carries its token.
SUBPROTOCOL: Final = "ticker.v1"
BEARER_PREFIX: Final = "bearer."
#: The one path of the stream.
PATH: Final = "/ws/ticker"

#: A request's `id`, as the JSON it came in: a number or a text. Kept so, any number comes back
#: exactly, also one that no type of ours has room for.
RequestId = msgspec.Raw
NO_ID: Final = msgspec.Raw(b"null")


class Ping(msgspec.Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    """A client asks for a sign of life."""

    id: RequestId = NO_ID


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """A client chooses symbols (None: all it may see) and an interval (None: every tick)."""

    symbols: list[str] | None = None
    interval_ms: int | None = None
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
    """A message is not one of ours; `id` is the one it carried, where it could be found."""

    def __init__(self, text: str, request_id: RequestId = NO_ID) -> None:
        super().__init__(text)
        self.id = request_id


class _AnyId(msgspec.Struct):
    id: RequestId = NO_ID


_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_any_id: Final = msgspec.json.Decoder(_AnyId)
_BAD_ID: Final = f"id must be a number or a text of at most {limits.REQUEST_ID_CHARS} characters"


def decode_request(message: str | bytes) -> Request:
    """Read one message of a client.

    Raises:
        BadMessageError: malformed JSON, an unknown type, a wrong field, or a value out
            of bounds; its text says which.
    """
    if isinstance(message, bytes):
        raise BadMessageError("messages are text, in JSON")
    try:
        request = _requests.decode(message)
        request.id = _checked_id(request.id)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        text = redact(str(error))[: limits.ERROR_TEXT_CHARS]  # it may quote a misplaced token
        raise BadMessageError(text, _find_id(message)) from None
    if isinstance(request, Subscribe):
        _check_subscribe(request)
    return request


def _check_subscribe(request: Subscribe) -> None:
    if request.symbols is not None and not request.symbols:
        raise BadMessageError("symbols must not be empty; leave it out for all", request.id)
    if request.interval_ms is not None and not 1 <= request.interval_ms <= limits.INTERVAL_MAX_MS:
        raise BadMessageError(
            f"interval_ms must be between 1 and {limits.INTERVAL_MAX_MS}", request.id
        )


def _checked_id(request_id: RequestId) -> RequestId:
    """Return an id that may be echoed; raises DecodeError where it may not."""
    sent = bytes(request_id)
    if sent == b"null":
        return NO_ID
    text = msgspec.json.decode(sent, type=str) if sent[:1] == b'"' else sent
    if sent[:1] not in b'"-0123456789' or len(text) > limits.REQUEST_ID_CHARS:
        raise msgspec.ValidationError(_BAD_ID)
    return request_id


def _find_id(message: str) -> RequestId:
    try:
        return _checked_id(_any_id.decode(message).id)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return NO_ID


class Message(msgspec.Struct, tag_field="type", omit_defaults=True):
    """What the server says. A field at its default is left out."""

    _encoder: ClassVar[msgspec.json.Encoder] = msgspec.json.Encoder()

    def frame(self) -> bytes:
        """Return the message as it goes over the wire."""
        return text_frame(self._encoder.encode(self))


class Welcome(Message, tag="welcome", kw_only=True):
    """The first message of every stream."""

    user_id: str
    role: str
    symbols: Sequence[str]
    tick_ms: float
    expires_in: int
    time: int
    version: str


class Pong(Message, tag="pong"):
    """The answer to `ping`."""

    id: RequestId = NO_ID


class Subscribed(Message, tag="subscribed", kw_only=True):
    """The answer to `subscribe`, with what is in force from now on."""

    id: RequestId = NO_ID
    symbols: Sequence[str]
    interval_ms: float


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


class TickerEncoder:
    """Makes ticker frames: the hub's `Encoder`.

    A frame is put together from ready pieces, so that a quote is written once however many
    topics hold it, and a price keeps every digit it came with.
    """

    def entry(self, quote: Quote) -> bytes:
        """Write one quote as an element of `data`, with the comma that follows it."""
        # The simulation is the whole market by itself; a real one is named.
        source = "" if quote.source == "simulated" else f',"source":"{quote.source}"'
        return (
            f'{{"symbol":"{quote.symbol}","price":{quote.price:f},'
            f'"timestamp":{quote.time_ms // 1000}{source}}},'
        ).encode()

    def frame(self, entries: bytes, *, seq: int, time_ms: int, snapshot: bool) -> bytes:
        """Make the frame of one ticker message."""
        flag = b',"snapshot":true}' if snapshot else b"}"
        head = b'{"type":"ticker","data":['
        return text_frame(b'%b%b],"seq":%d,"time":%d%b' % (head, entries[:-1], seq, time_ms, flag))


def text_frame(payload: bytes) -> bytes:
    """Put a text message into one unmasked frame (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004 - the RFC's own numbers
        return b"\x81%c%b" % (size, payload)
    if size < 65536:  # noqa: PLR2004 - the same
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


def close_frame(code: int) -> bytes:
    """Make a close frame with a code and, where it is one of ours, its reason (RFC 6455 §5.5.1)."""
    reason = code.reason if isinstance(code, CloseCode) else ""
    payload = code.to_bytes(2, "big") + reason.encode()
    return b"%c%c%b" % (CLOSE_OPCODE, len(payload), payload)


def pong_frame(payload: bytes) -> bytes:
    """Answer a ping, whose payload is at most 125 bytes (RFC 6455 §5.5.3)."""
    return b"\x8a%c%b" % (len(payload), payload)


#: A ping without payload; any byte that comes back is a sign of life.
PING_FRAME: Final = b"\x89\x00"
#: The first byte of a close frame, after which nothing else may be sent (RFC 6455 §5.5.1).
CLOSE_OPCODE: Final = 0x88
