"""What a client has already, and in which coding it takes the rest (RFC 9110 §12.5.3, §13.1.2).

Rules for this module: pure. Where a header comes in several lines, they are one list (§5.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from werkzeug.http import parse_accept_header, parse_etags

__all__ = ["Gzip", "gzip_wanted", "has_strong_tag", "has_tag"]

#: Both names of it (RFC 9110 §8.4.1.3).
_GZIP: Final = frozenset({"gzip", "x-gzip"})


class Gzip(Enum):
    """Whether a client wants an answer compressed by gzip."""

    NO = "no"
    #: Where that is worth it.
    YES = "yes"
    #: It refuses the answer as it is.
    ALWAYS = "always"


def gzip_wanted(lines: Iterable[str]) -> Gzip:
    """Read `Accept-Encoding`. Where a client takes neither, it gets the answer as it is."""
    qualities: dict[str, float] = {}
    for coding, quality in parse_accept_header(", ".join(lines)):
        qualities.setdefault(coding.lower(), quality)
    named = [quality for coding, quality in qualities.items() if coding in _GZIP]
    gzip = max(named, default=qualities.get("*", 0.0))
    identity = qualities.get("identity", qualities.get("*"))
    if gzip <= 0 or (identity is not None and identity > gzip):
        return Gzip.NO
    return Gzip.ALWAYS if identity == 0 else Gzip.YES


def has_tag(lines: Iterable[str], tag: str) -> bool:
    """Read `If-None-Match`: tell whether a client has the answer with a tag (weakly, §8.8.3.2)."""
    return parse_etags(", ".join(lines)).contains_weak(tag)


def has_strong_tag(lines: Iterable[str], tag: str) -> bool:
    """Read `If-Match`: tell whether a client asks for the answer with a tag (strongly)."""
    return parse_etags(", ".join(lines)).contains(tag)
