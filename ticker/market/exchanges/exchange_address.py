"""Addresses of exchanges: what one looks like, what follows from it, what may be shown of it.

Pure. An address may hold credentials, of a proxy for one: nothing but `place_of` is shown.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

__all__ = ["feed_url", "http_url", "place_of", "proxy_url", "rest_beside"]


def _address(raw: object, schemes: tuple[str, ...]) -> str | None:
    """Return a URL of one of the schemes, with a host; None for anything else."""
    word = raw.strip() if isinstance(raw, str) else ""
    try:
        parts = urlsplit(word)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    return word if good and not re.search(r"\s", word) else None


def feed_url(raw: object) -> str:
    """Read a WebSocket address."""
    url = _address(raw, ("ws", "wss"))
    if url is None:
        raise ValueError("expected an address that starts with ws:// or wss://")
    return url


def http_url(raw: object) -> str:
    """Read the address of an HTTP interface; a slash at its end is left out."""
    url = _address(raw, ("http", "https"))
    if url is None or urlsplit(url).query or urlsplit(url).fragment:
        raise ValueError("expected an address that starts with http:// or https://")
    return url.rstrip("/")


def proxy_url(raw: object) -> str:
    """Read the address of an HTTP proxy, with credentials where it asks for some."""
    url = _address(raw, ("http",))
    if url is None or urlsplit(url).path.strip("/") or urlsplit(url).query:
        raise ValueError("expected a proxy, as in http://proxy.example.com:3128")
    return url.rstrip("/")


def rest_beside(url: str) -> str:
    """Return where REST is asked beside a WebSocket address: the same host and port."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.replace("ws", "http"), parts.netloc, "", "", ""))


def place_of(url: str) -> str:
    """Return what may be shown of an address: host and port, and nothing that may be a secret."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
