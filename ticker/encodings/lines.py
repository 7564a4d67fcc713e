"""The stream over plain HTTP: lines of JSON, and server-sent events.

Server-sent events are the WHATWG HTML standard's, §9.2.5; JSON never holds a line break outside
its strings, nor within them but escaped, so each message is one `data` line.

Rules for this module: pure.
"""

from __future__ import annotations

from typing import Final

from ticker.encodings.encoding import Encoding
from ticker.encodings.json import JSON_FORMAT

#: A comment, which every client of server-sent events passes over.
SSE_COMMENT: Final = b":\n\n"


def line(payload: bytes) -> bytes:
    """Write a message as a line."""
    return payload + b"\n"


def event(payload: bytes) -> bytes:
    """Write a message as an unnamed event."""
    return b"data: %b\n\n" % payload


def event_with_id(payload: bytes, epoch: str, seq: int) -> bytes:
    """Write a ticker message as an event that a client can be resumed from."""
    return b"id: %b:%d\ndata: %b\n\n" % (epoch.encode(), seq, payload)


def retry(milliseconds: int) -> bytes:
    """Write how long a client is to wait before it connects again; part of the next event."""
    return b"retry: %d\n" % milliseconds


NDJSON: Final = Encoding("ndjson", JSON_FORMAT, line)
SSE: Final = Encoding("server-sent events", JSON_FORMAT, event, event_with_id)
