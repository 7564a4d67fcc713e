"""WebSocket frames byte by byte (RFC 6455 §5.2), independent of any library under test."""

from __future__ import annotations

import json
import os
import zlib
from typing import Any, Final

import attrs
import msgspec

TEXT: Final = 0x1
BINARY: Final = 0x2
CONTINUATION: Final = 0x0
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA


@attrs.frozen
class Frame:
    """One frame that a server sent."""

    opcode: int
    payload: bytes
    compressed: bool = False

    @property
    def message(self) -> dict[str, Any]:
        """Its text read as JSON, or its bytes as MessagePack."""
        assert self.opcode in {TEXT, BINARY}, self
        payload = self.payload
        if self.compressed:
            payload = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
        binary = self.opcode == BINARY
        decoded = msgspec.msgpack.decode(payload) if binary else json.loads(payload)
        assert isinstance(decoded, dict)
        return decoded

    @property
    def code(self) -> int:
        """The close code."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")


class FrameParser:
    """Cuts what a server sends into frames, and refuses what no server may send."""

    def __init__(self, *, compression: bool = False) -> None:
        self._allowed = 0x40 if compression else 0
        self._data = bytearray()

    @property
    def partial(self) -> bytes:
        """What has come of a frame that is not complete."""
        return bytes(self._data)

    def feed(self, data: bytes | bytearray) -> list[Frame]:
        """Take bytes in and return the frames that are complete."""
        self._data += data
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        data = self._data
        if len(data) < 2:
            return None
        assert data[0] & 0xF0 & ~self._allowed == 0x80, (
            f"fragmented, or a reserved bit: {bytes(data[:20])!r}"
        )
        assert data[0] & 0x0F in {TEXT, BINARY, CLOSE, PING, PONG}, bytes(data[:20])
        assert not data[1] & 0x80, f"a server must not mask: {bytes(data[:20])!r}"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start or len(data) < start + size:
            return None
        frame = Frame(data[0] & 0x0F, bytes(data[start : start + size]), bool(data[0] & 0x40))
        del data[: start + size]
        return frame


def client_frame(
    opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0
) -> bytes:
    """Make one masked frame as a client sends it."""
    payload = payload.encode() if isinstance(payload, str) else payload
    mask = os.urandom(4)
    size = len(payload)
    if size < 126:
        head = bytes([size | 0x80])
    elif size < 65536:
        head = b"\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([opcode | rsv | (0x80 if fin else 0)]) + head + mask + masked
