"""What a client may send, counted as it arrives.

Rules for this module: pure; bytes and times in, a verdict out. Messages are counted by the
session once they are whole; this counts frames of every kind as their headers pass by, since
a flood of pings or of empty fragments never becomes a message.
"""

from __future__ import annotations

from ticker import limits
from ticker.rate_limit import Bucket, RateLimit

_FRAMES = RateLimit(limits.FRAMES_BURST, limits.FRAMES_BURST / limits.FRAMES_PER_SECOND)


class FrameMeter:
    """Counts the frames in a client's bytes (RFC 6455 §5.2) without looking into them."""

    __slots__ = ("_bucket", "_header", "_skip")

    def __init__(self) -> None:
        self._bucket = Bucket(_FRAMES)
        self._skip = 0
        self._header = b""

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


def _payload_length(header: bytes) -> int | None:
    """Return the payload length a frame header tells; None while it is not complete."""
    if len(header) < 2:  # noqa: PLR2004 - the RFC's own numbers
        return None
    short = header[1] & 0x7F
    extra = {126: 2, 127: 8}.get(short, 0)
    if len(header) < 2 + extra:
        return None
    return int.from_bytes(header[2:], "big") if extra else short
