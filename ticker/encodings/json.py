"""JSON: the stream's first format.

Rules for this module: pure. A ticker message is put together from ready pieces, so that a quote
is written once however many topics hold it, and a price keeps every digit it came with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import msgspec

from ticker import limits
from ticker.encodings.encoding import Encoding, ShownQuote, full_values
from ticker.encodings.websocket_frames import text_frame
from ticker.protocol.decimals import plain
from ticker.protocol.details import FULL_FIELDS, Detail
from ticker.protocol.messages import Message
from ticker.protocol.requests import NO_ID, BadMessageError, Request, RequestId, check

_messages: Final = msgspec.json.Encoder()
_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_BAD_ID: Final = f"id must be a number or a text of at most {limits.REQUEST_ID_CHARS} characters"
_FAULTS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
#: How each field begins that only the detail `full` shows.
_NAMES: Final = tuple(f',"{name}":' for name in FULL_FIELDS)


class _AnyId(msgspec.Struct):
    id: RequestId = NO_ID


_any_id: Final = msgspec.json.Decoder(_AnyId)


class JsonFormat:
    """Messages as JSON texts."""

    def entry(self, quote: ShownQuote, detail: Detail) -> bytes:
        """Write one quote as an element of `data`."""
        more = _full(quote) if detail == "full" else ""
        # The simulation is the whole market by itself; a real one is named.
        source = "" if quote.source == "simulated" else f',"source":"{quote.source}"'
        return (
            f'{{"symbol":"{quote.symbol}","price":{plain(quote.price)},'
            f'"timestamp":{quote.time_ms // 1000}{source}{more}}}'
        ).encode()

    def ticker(
        self,
        entries: Iterable[bytes],
        *,
        seq: int,
        time_ms: int,
        prev: int | None = None,
        snapshot: bool = False,
    ) -> bytes:
        """Write one ticker message."""
        flag = b',"snapshot":true}' if snapshot else b"}"
        if prev is not None:
            flag = b',"prev":%d%b' % (prev, flag)
        data = b",".join(entries)
        return b'{"type":"ticker","data":[%b],"seq":%d,"time":%d%b' % (data, seq, time_ms, flag)

    def message(self, message: Message) -> bytes:
        """Write any other message."""
        return _messages.encode(message)

    def request(self, message: str | bytes) -> Request:
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
            _check_names(message)
        except _FAULTS as error:
            raise BadMessageError(str(error), _find_id(message)) from None
        check(request)
        return request


def _check_names(message: str) -> None:
    """Raise DecodeError where a name comes twice: it would mean another thing to another reader.

    RFC 8259 §4 leaves open which of the values counts. msgspec has found all else right.
    """
    if message.count(":") > 1:  # a request with one name is done
        json.loads(message, object_pairs_hook=_once, parse_int=str, parse_float=str)


def _once(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise msgspec.DecodeError("a name comes twice")


def _full(quote: ShownQuote) -> str:
    """Write what only the detail `full` shows, each where it is known."""
    if quote.details is None:
        return ""
    values = full_values(quote.details)
    known = [(name, value) for name, value in zip(_NAMES, values, strict=True) if value is not None]
    text = "".join([f"{name}{value!s}" for name, value in known])
    if "E" not in text:  # nearly always: no decimal has an exponent
        return text
    return "".join(
        [name + (str(value) if isinstance(value, int) else plain(value)) for name, value in known]
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
    except _FAULTS:
        return NO_ID


JSON_FORMAT: Final = JsonFormat()
#: JSON in text frames: what a client gets that asks for nothing else.
JSON: Final = Encoding("json", JSON_FORMAT, text_frame)
