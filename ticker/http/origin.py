"""Which page a request comes from, and whether it may ask (RFC 6455 §10.2, RFC 6454).

Rules for this module: pure. A client without an `Origin` is no page in a browser, or one that
asks for what any page may show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ticker.http.head import Head
from ticker.settings.origins import read_origin

#: What of an answer a page of another origin may read beside its body (Fetch, §3.3).
EXPOSED: Final = ("retry-after",)


def shared_with(head: Head, allowed: Sequence[str]) -> Mapping[str, str]:
    """Return what lets the page that asks read an answer that is no application's (Fetch, §3.3).

    Without it a page sees a failed network where it should see `Retry-After`.

    Args:
        head: the request.
        allowed: exact origins besides our own, or `*`.
    """
    values = head.all(b"origin")
    if not allowed or len(values) != 1:
        return {}
    shared = {"access-control-expose-headers": ", ".join(EXPOSED), "vary": "Origin"}
    if "*" in allowed:
        return {"access-control-allow-origin": "*", **shared}
    try:
        listed = read_origin(values[0]) in allowed
    except ValueError:
        return {}
    return {"access-control-allow-origin": values[0], **shared} if listed else {}


def origin_allowed(head: Head, allowed: Sequence[str], *, secure: bool) -> bool:
    """Say whether the page that asks may.

    Args:
        head: the request.
        allowed: exact origins besides our own, or `*`.
        secure: whether the client reached us over TLS.
    """
    values = head.all(b"origin")
    if not values or "*" in allowed:
        return True
    if len(values) > 1:
        return False
    try:
        asked = read_origin(values[0])
        own = read_origin(f"{'https' if secure else 'http'}://{head.first(b'host') or ''}")
    except ValueError:
        return False
    return asked == own or asked in allowed
