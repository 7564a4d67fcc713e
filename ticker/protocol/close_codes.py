"""Why a stream ends: one table for the server, the clients and the documentation."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """A WebSocket close code that the server sends, with its reason.

    40xx: mend the cause before connecting again. 41xx and 10xx: connect again, with backoff.
    """

    TOO_BIG = 1009, "a message over 4 KiB"
    FAULT = 1011, "a fault of the server in this one connection"
    RESTART = 1012, "the server restarts"
    BAD_MESSAGES = 4000, "5 bad messages within 10 s"
    UNAUTHENTICATED = 4001, "the token expired, or it or its key was revoked"
    TOO_MANY_MESSAGES = 4029, "too many messages"
    SILENT = 4101, "no sign of life for 25 s"
    TOO_SLOW = 4102, "too slow for every tick: connect again and resume"

    reason: str

    def __new__(cls, code: int, reason: str) -> CloseCode:  # noqa: PYI034 - IntEnum's own pattern
        """Make a member that is its code and carries the reason sent with it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.reason = reason
        return member
