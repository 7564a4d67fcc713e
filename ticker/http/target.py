"""The target of a request in its one spelling: path and query (RFC 9112 §3.2.1).

Rules for this module: pure. The router, the limits and the application decide by the path, and
Quart takes what it gets out of its percent-encoding and off its leading slashes. So one reading is
made before any of them looks: `//stream`, `/%73tream` and `http://host/stream` are `/stream`.

An access log writes a path out as it is decoded, in quotes. With the end of a line in it, a line of
a client's own would follow, and with a quote fields of its own: so these are replaced, and the path
is found nowhere.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from ticker.http.head import Head, is_host

#: What a client of a proxy, or one that takes this server for one, puts before a path; a name and
#: a password before the host are a fault (RFC 9110 §4.2.4).
_ABSOLUTE: Final = re.compile(r"(?i:https?|wss?)://([^/?#@]+)(?=[/?]|\Z)")
#: What a path may hold that is written in another way here.
_CODED: Final = re.compile('[%"]')
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~"


def with_plain_target(head: Head) -> Head:
    """Return a request with its target in its one spelling.

    The host of an absolute target takes the place of `Host` (RFC 9112 §3.2.2). What is no target of
    an origin server stays as it is, and begins with no slash.
    """
    target, headers = head.target, head.headers
    if target.startswith("/") and not target.startswith("//") and not _CODED.search(target):
        return head
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        if not is_host(absolute[1].encode("latin-1")):
            return head
        target = target[absolute.end() :]
        others = tuple(header for header in headers if header[0] != b"host")
        headers = ((b"host", absolute[1].encode("latin-1")), *others)
    path, mark, query = target.partition("?")
    if absolute is not None and not path:
        path = "/"  # an empty path (RFC 9110 §4.2.3)
    if not path.startswith("/"):
        return head
    if _CODED.search(path):
        path = quote(_printable(unquote_to_bytes(path)), safe=_PATH_CHARACTERS)
    if path.startswith("//"):
        path = f"/{path.lstrip('/')}"
    target = path + mark + query
    return head if target == head.target else head.rewritten(target, headers)


def _printable(path: bytes) -> bytes:
    """Return a path with U+FFFD in the place of quotes, and of what cannot be printed."""
    text = path.decode(errors="replace")
    if text.isprintable() and '"' not in text:
        return path
    shown = [each if each.isprintable() and each != '"' else "\ufffd" for each in text]
    return "".join(shown).encode()
