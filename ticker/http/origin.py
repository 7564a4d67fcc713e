"""Which page a request comes from, and whether it may ask (RFC 6455 §10.2, RFC 6454).

Rules for this module: pure. A client without an `Origin` is no page in a browser, or one that
asks for what any page may show.
"""

from __future__ import annotations

from collections.abc import Sequence

from ticker.http.head import Head
from ticker.settings.origins import read_origin


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
