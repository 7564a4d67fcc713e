"""permessage-deflate of what a client sends, inflated no further than a message may be.

wsproto's own extension inflates whatever comes: four kilobytes become four megabytes before
its size can be looked at. Here zlib stops at the bound, and the message is refused with 1009.
"""

from __future__ import annotations

import zlib
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from ticker import limits
from ticker.encodings.deflate import TAIL

_WINDOW_BITS: Final = 15
_DATA: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION})


class BoundedInflate(Extension):
    """The extension on the server's side, for one connection, without context takeover."""

    name = "permessage-deflate"

    def __init__(self) -> None:
        self._inflating: zlib._Decompress | None = None
        self._room = 0
        self._compressed_room = 0
        self._is_data = False

    def enabled(self) -> bool:
        """Say that the handshake agreed on it."""
        return True

    def offer(self) -> bool | str:
        """Offer nothing: this is a server's side."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's interface
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,  # noqa: ARG002 - the same
    ) -> CloseReason | RsvBits:
        """Note whether a message is compressed, which its first frame says (RFC 7692 §6)."""
        self._is_data = opcode in _DATA
        if rsv.rsv1 and opcode not in {Opcode.TEXT, Opcode.BINARY}:
            return CloseReason.PROTOCOL_ERROR
        if opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._room = limits.MESSAGE_BYTES
            self._compressed_room = limits.COMPRESSED_MESSAGE_BYTES
            self._inflating = zlib.decompressobj(-_WINDOW_BITS) if rsv.rsv1 else None
        return RsvBits(rsv1=True, rsv2=False, rsv3=False)

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's interface
        data: bytes,
    ) -> bytes | CloseReason:
        """Inflate a part of a message."""
        return self._inflate(data) if self._is_data and self._inflating is not None else data

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,  # noqa: ARG002 - wsproto's interface
        fin: bool,  # noqa: FBT001 - the same
    ) -> bytes | CloseReason | None:
        """Inflate the end of a message, which is not sent (RFC 7692 §7.2.2)."""
        if not fin or not self._is_data or self._inflating is None:
            return None
        end = self._inflate(TAIL)
        self._inflating = None
        return end

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        assert self._inflating is not None  # noqa: S101 - the callers looked
        self._compressed_room -= len(data)
        if self._compressed_room < 0:
            # zlib keeps all that follows the last block, and empty blocks become nothing.
            return CloseReason.MESSAGE_TOO_BIG
        try:
            inflated = self._inflating.decompress(bytes(data), self._room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._room -= len(inflated)
        if self._room < 0:
            return CloseReason.MESSAGE_TOO_BIG
        return inflated
