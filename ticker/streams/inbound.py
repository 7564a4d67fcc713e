"""What a client sends, taken apart and counted as it arrives.

Rules for this module: pure; bytes and times in, events out. wsproto knows the protocol; the
limits are ours. Messages in a time are counted by the session once they are whole; here frames
of every kind are counted as their headers pass by, since a flood of pings or of empty fragments
never becomes a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension

from ticker import limits
from ticker.encodings.websocket_frames import close_frame
from ticker.protocol.close_codes import CloseCode
from ticker.rate_limit import Bucket, Rate
from ticker.streams.inflate import BoundedInflate

#: A final frame of this kind (RFC 6455 §5.2), the header of a short one with its mask, and how much
#: a control frame may hold (§5.5).
_PONG: Final = 0x8A
_MASKED_HEADER: Final = 6
_CONTROL_BYTES: Final = 125

_FRAMES = Rate(limits.FRAMES_BURST, limits.FRAMES_BURST / limits.FRAMES_PER_SECOND)


class RefusedMessageError(Exception):
    """A client sends what is not taken; `code` is what to close with."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.reason)
        self.code = code


class Inbound:
    """One client's side of the conversation."""

    __slots__ = ("_compressed", "_meter", "_parts", "_protocol", "_size")

    def __init__(self, *, compressed: bool = False) -> None:
        """Begin with nothing; `compressed` where permessage-deflate was agreed on."""
        self._compressed = compressed
        # Made for the first frame that is no pong: most subscribers never send one, and it is as
        # large as all the rest that is kept of what they say.
        self._protocol: Connection | None = None
        self._meter = FrameMeter()
        self._parts: list[str | bytes] = []
        self._size = 0

    def feed(self, data: bytes, now: float) -> None:
        """Take in what came.

        Args:
            data: as many bytes as there were, at least one.
            now: monotonic seconds.

        Raises:
            RefusedMessageError: there are too many frames in it.
        """
        if not self._meter.within(data, now):
            raise RefusedMessageError(CloseCode.TOO_MANY_MESSAGES)
        if self._protocol is not None or not _is_pong(data):
            self._awake().receive_data(data)

    def events(self) -> Iterator[str | bytes | Ping | CloseConnection]:
        """Give what has come whole, as it is iterated over: messages, pings, the close frame.

        A break of the protocol is a close, too; `answer` knows the difference.

        Raises:
            RefusedMessageError: a message is too big.
        """
        if self._protocol is None:
            return
        for event in self._protocol.events():
            if isinstance(event, CloseConnection):
                yield event
                return
            if isinstance(event, Ping):
                yield event
            elif isinstance(event, TextMessage | BytesMessage):
                message = self._put_together(event)
                if message is not None:
                    yield message
        if self._between_messages():
            # What a client has said whole needs nothing kept; the next message makes it anew.
            self.end()
            self._protocol = None

    def answer(self, closing: CloseConnection) -> bytes:
        """Return the close frame that is owed for the client's, or for what it did wrong.

        wsproto tells of both by the same event, and only its state tells them apart.
        """
        if self._awake().state is ConnectionState.REMOTE_CLOSING:
            return self._awake().send(closing.response())
        return close_frame(closing.code)

    def close(self, code: CloseCode) -> bytes:
        """Return the close frame with which we begin the end."""
        return self._awake().send(CloseConnection(code=code, reason=code.reason))

    def answered(self) -> bool:
        """Say whether the client's close frame has come; everything before it is dropped."""
        return any(isinstance(event, CloseConnection) for event in self._awake().events())

    def end(self) -> None:
        """Let go of what was under way: nothing more comes.

        wsproto's parser is a generator that refers to its owner. Were its private name another,
        it would only wait for the garbage collector.
        """
        parser = getattr(getattr(self._protocol, "_proto", None), "_parse_more", None)
        if parser is not None:
            parser.close()

    def _between_messages(self) -> bool:
        """Whether nothing is under way in either direction.

        Where messages are compressed each may refer to those before it (RFC 7692 §7.1.1).
        """
        return (
            self._protocol is not None
            and self._protocol.state is ConnectionState.OPEN
            and not self._compressed
            and not self._parts
            and self._meter.between_frames
        )

    def _awake(self) -> Connection:
        if self._protocol is None:
            extensions: list[Extension] = [BoundedInflate()] if self._compressed else []
            self._protocol = Connection(ConnectionType.SERVER, extensions)
        return self._protocol

    def _put_together(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """Take in a part of a message; return the message once it is whole."""
        part = event.data if isinstance(event.data, str) else bytes(event.data)
        self._size += len(part.encode()) if isinstance(part, str) else len(part)
        if self._size > limits.MESSAGE_BYTES:
            raise RefusedMessageError(CloseCode.TOO_BIG)
        if part or not self._parts:
            # Empty parts are free to send, and the size does not bound them.
            self._parts.append(part)
        if not event.message_finished:
            return None
        parts, self._parts, self._size = self._parts, [], 0
        # One kind throughout, which wsproto sees to.
        return "".join(parts) if isinstance(part, str) else b"".join(parts)  # type: ignore[arg-type]


class FrameMeter:
    """Counts the frames in a client's bytes (RFC 6455 §5.2) without looking into them."""

    __slots__ = ("_bucket", "_header", "_skip")

    def __init__(self) -> None:
        self._bucket = Bucket(_FRAMES)
        self._skip = 0
        self._header = b""

    @property
    def between_frames(self) -> bool:
        """Whether every frame that has begun is over."""
        return not self._skip and not self._header

    def within(self, data: bytes | bytearray, now: float) -> bool:
        """Count the frames that begin in some bytes; False once there are too many of them."""
        at, size = 0, len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            if not self._header and not self._bucket.admit(now):
                return False
            self._header += data[at : at + 1]
            at += 1
            length = _payload_length(self._header)
            if length is not None:
                masked = self._header[1] & 0x80
                self._skip = length + (4 if masked else 0)
                self._header = b""
        return True


def _is_pong(data: bytes) -> bool:
    """Whether some bytes are one whole pong (RFC 6455 §5.5.3), masked as a client's must be."""
    size = len(data) - _MASKED_HEADER
    return 0 <= size <= _CONTROL_BYTES and data[0] == _PONG and data[1] == 0x80 | size


def _payload_length(header: bytes) -> int | None:
    """Return the payload length a frame header tells; None while it is not complete."""
    if len(header) < 2:  # noqa: PLR2004 - the RFC's own numbers
        return None
    short = header[1] & 0x7F
    extra = {126: 2, 127: 8}.get(short, 0)
    if len(header) < 2 + extra:
        return None
    return int.from_bytes(header[2:], "big") if extra else short
