"""What the proxies in front say of a request: who sent it, and whether over TLS.

Rules for this module: pure. Each proxy adds what it saw at the right end of a list. Of the
trusted ones, the last is the one nearest to us; what stands further left than the first of them
a client may have made up.
"""

from __future__ import annotations

import re
from typing import Final

from ticker.addresses import UNKNOWN, Address, canonical, parse_address
from ticker.http.head import Head

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 §5.6.2's word
#: A value may hold a colon and brackets unquoted too, since proxies write addresses so.
_VALUE: Final = r"""(?:[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")"""
_PAIR: Final = re.compile(rf"({_TOKEN})=({_VALUE})")
#: One proxy's words (RFC 7239 §4).
_ELEMENT: Final = re.compile(
    rf"[ \t]*{_TOKEN}={_VALUE}(?:[ \t]*;[ \t]*(?:{_TOKEN}={_VALUE})?)*[ \t]*"
)
_ESCAPED: Final = re.compile(r"\\(.)")
_SECURE: Final = frozenset({"https", "wss"})


def client_address(head: Head, peer: str, trusted_hops: int) -> str:
    """Return the address of the client, in its one spelling.

    The entry that the first trusted proxy added to `X-Forwarded-For` or `Forwarded`. A proxy
    writes one of the two and may let the other through as the client sent it, so where both are
    there they must agree.

    Args:
        head: the request.
        peer: the address at the other end of the socket.
        trusted_hops: how many of the proxies nearest to us are trusted.

    Returns:
        The address; the peer's own where the headers are too short, name no address (as
        `unknown` or `_hidden`), or disagree.
    """
    peer = canonical(peer) or UNKNOWN
    if trusted_hops == 0:
        return peer
    told: set[Address | None] = set()
    if lines := head.all(b"x-forwarded-for"):
        entry = _from_the_right(_entries(lines), trusted_hops)
        told.add(None if entry is None else parse_address(entry))
    if lines := head.all(b"forwarded"):
        elements = _elements(lines, trusted_hops)
        node = elements[0].get("for", "") if len(elements) == trusted_hops else ""
        told.add(parse_address(node))
    address = told.pop() if len(told) == 1 else None
    return peer if address is None else str(address)


def client_secure(head: Head, *, encrypted: bool, trusted_hops: int) -> bool:
    """Say whether the client's own connection is encrypted.

    By `X-Forwarded-Proto`, else `Forwarded`; most proxies set the former rather than add to it,
    so a shorter list than there are trusted proxies is the first one's word.

    Args:
        head: the request.
        encrypted: whether the connection to us is.
        trusted_hops: how many of the proxies nearest to us are trusted.
    """
    if trusted_hops == 0:
        return encrypted
    if lines := head.all(b"x-forwarded-proto"):
        entries = _entries(lines)
        return entries[-min(trusted_hops, len(entries))].lower() in _SECURE
    for element in _elements(head.all(b"forwarded"), trusted_hops)[:1]:
        if "proto" in element:
            return element["proto"].lower() in _SECURE
    return encrypted


def _entries(lines: list[str]) -> list[str]:
    return [entry.strip() for line in lines for entry in line.split(",")]


def _from_the_right(entries: list[str], number: int) -> str | None:
    return entries[-number] if len(entries) >= number else None


def _elements(lines: list[str], most: int) -> list[dict[str, str]]:
    """Return the last elements of `Forwarded`, left to right; fewer where there are fewer.

    They are cut off from the right, each as short as it can be, so that a quote that a client
    left open swallows nothing of what proxies added. Nor can a client's text within a proxy's
    quotes pass for an element: there each quote has a backslash before it, which no element
    has outside of quotes.
    """
    text = ",".join(lines)
    found: list[dict[str, str]] = []
    end = len(text)
    while len(found) < most and end > 0:
        start = text.rfind(",", 0, end)
        while (element := _ELEMENT.fullmatch(text, start + 1, end)) is None and start >= 0:
            start = text.rfind(",", 0, start)
        if element is None:
            break
        found.append(_pairs(element[0]))
        end = start
    return found[::-1]


def _pairs(element: str) -> dict[str, str]:
    """Return the parameters of an element; none where one comes twice (RFC 7239 §4)."""
    pairs = [(match[1].lower(), _unquoted(match[2])) for match in _PAIR.finditer(element)]
    names = dict(pairs)
    return names if len(names) == len(pairs) else {}


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
