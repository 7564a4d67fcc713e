"""MessagePack: the messages of JSON, shape for shape, with every decimal as text.

A decimal has no form of its own in MessagePack, and a float would not keep its digits.

Rules for this module: pure. A ticker message is put together from ready pieces, as in JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ticker import limits
from ticker.encodings.encoding import ShownQuote, full_values
from ticker.protocol.decimals import plain
from ticker.protocol.details import FULL_FIELDS, Detail
from ticker.protocol.messages import Message
from ticker.protocol.requests import NO_ID, BadMessageError, Request, RequestId, check

_encoder: Final = msgspec.msgpack.Encoder(decimal_format="string")
_encode = _encoder.encode
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_BAD_ID: Final = f"id must be a number or a text of at most {limits.REQUEST_ID_CHARS} characters"
_FAULTS: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
_NIL: Final = b"\xc0"
#: A map of so few keys has its size in its first byte, as has a list of so few elements.
_SMALL_MAP: Final = 0x80
_SMALL_ARRAY: Final = 0x90
_SMALL: Final = 16
#: How many bytes hold the size of a map that begins otherwise.
_LONG_MAPS: Final = {0xDE: 2, 0xDF: 4}

_TYPE: Final = _encode("type") + _encode("ticker") + _encode("data")
_SEQ, _TIME, _PREV = _encode("seq"), _encode("time"), _encode("prev")
_SNAPSHOT: Final = _encode("snapshot") + _encode(True)  # noqa: FBT003 - the value itself


class _AnyId(msgspec.Struct):
    id: RequestId = NO_ID


_any_id: Final = msgspec.msgpack.Decoder(_AnyId)
_any: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


class MessagePackFormat:
    """Messages as MessagePack maps."""

    def entry(self, quote: ShownQuote, detail: Detail) -> bytes:
        """Write one quote as an element of `data`."""
        shown: dict[str, object] = {
            "symbol": quote.symbol,
            "price": plain(quote.price),
            "timestamp": quote.time_ms // 1000,
        }
        if quote.source != "simulated":
            shown["source"] = quote.source
        if detail == "full" and quote.details is not None:
            for name, value in zip(FULL_FIELDS, full_values(quote.details), strict=True):
                if value is not None:
                    shown[name] = value if isinstance(value, int) else plain(value)
        return _encode(shown)

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
        data = list(entries)
        pieces = [_TYPE, _array_header(len(data)), *data, _SEQ, _encode(seq)]
        pieces += [_TIME, _encode(time_ms)]
        keys = 4
        if prev is not None:
            pieces += [_PREV, _encode(prev)]
            keys += 1
        if snapshot:
            pieces.append(_SNAPSHOT)
            keys += 1
        return bytes((_SMALL_MAP | keys,)) + b"".join(pieces)

    def message(self, message: Message) -> bytes:
        """Write any other message."""
        return _encode(message)

    def request(self, message: str | bytes) -> Request:
        """Read one message of a client.

        Raises:
            BadMessageError: malformed MessagePack, an unknown type, a wrong field, or a value
                out of bounds; its text says which.
        """
        if isinstance(message, str):
            raise BadMessageError("messages are binary, in MessagePack")
        try:
            request = _requests.decode(message)
            request.id = _checked_id(request.id)
            _check_names(message)
        except _FAULTS as error:
            raise BadMessageError(str(error), _find_id(message)) from None
        check(request)
        return request


def _check_names(message: bytes) -> None:
    """Raise DecodeError where a name comes twice, as in JSON."""
    names = _any.decode(message)
    if _map_size(message) != len(names):
        raise msgspec.DecodeError("a name comes twice")
    resume = bytes(names.get("resume", _NIL))
    if resume != _NIL:
        _check_names(resume)


def _map_size(message: bytes) -> int:
    """Read how many names a map says it has (the specification, `map format family`)."""
    if message[0] in _LONG_MAPS:
        return int.from_bytes(message[1 : 1 + _LONG_MAPS[message[0]]], "big")
    return message[0] - _SMALL_MAP


def _array_header(size: int) -> bytes:
    """Write how many elements follow (the MessagePack specification, `array format family`)."""
    if size < _SMALL:
        return bytes((_SMALL_ARRAY | size,))
    if size < 65536:  # noqa: PLR2004 - the specification's own number
        return b"\xdc" + size.to_bytes(2, "big")
    return b"\xdd" + size.to_bytes(4, "big")


def _checked_id(request_id: RequestId) -> RequestId:
    """Return an id that may be echoed; raises DecodeError where it may not."""
    sent = bytes(request_id)
    if request_id is NO_ID or sent == _NIL:
        return NO_ID
    found = msgspec.msgpack.decode(sent)
    number = isinstance(found, int | float) and not isinstance(found, bool)
    text = isinstance(found, str) and len(found) <= limits.REQUEST_ID_CHARS
    if not (number or text):
        raise msgspec.ValidationError(_BAD_ID)
    # A view of the message would keep all of it.
    return RequestId(sent)


def _find_id(message: bytes) -> RequestId:
    try:
        return _checked_id(_any_id.decode(message).id)
    except _FAULTS:
        return NO_ID
