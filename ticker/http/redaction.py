"""Credentials in places where they do not belong, taken out before anybody can log them.

Rules for this module: pure. Only `Authorization` may bring a token to the HTTP side, and no
access log shows it unless it is told to. A token in a target, a `Referer` or any other header
is a mistake of the client's, and Hypercorn's access log would keep it for ever.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from ticker.http.head import Head

MASK: Final = "***"
#: An API key, a token, and whatever is given as one by name.
_SECRET: Final = re.compile(
    r"tk_[0-9a-z]{10}_[0-9A-Za-z]{49}|[0-9A-Za-z_-]{43}\.[0-9A-Za-z_-]{43}|"
    r"(?<=x-auth-token=)[^&;#,\s]+",
    re.IGNORECASE,
)


def hide(text: str) -> str:
    """Return a text without the secrets in it."""
    return _SECRET.sub(MASK, text)


def masked(head: Head) -> Head:
    """Return a request as it may be shown: itself, unless a secret stands in a wrong place."""
    target = hide(head.target)
    headers = tuple(
        (name, value if name == b"authorization" else _mask(value)) for name, value in head.headers
    )
    if (target, headers) == (head.target, head.headers):
        return head
    lines = [f"{head.method} {target} HTTP/{head.version}".encode("latin-1")]
    lines += [name + b": " + value for name, value in headers]
    raw = b"\r\n".join(lines) + b"\r\n\r\n"
    return attrs.evolve(head, raw=raw, target=target, headers=headers)


def _mask(value: bytes) -> bytes:
    return hide(value.decode("latin-1")).encode("latin-1")
