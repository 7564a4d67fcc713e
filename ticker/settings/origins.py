"""Origins of pages: their one canonical form, and which may be allowed (RFC 6454).

Rules for this module: pure. What can never match what a browser sends is refused with the
reason, rather than kept and never matched.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from ticker.settings.readers import words

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: No page is at these: a page opens a stream from where it was loaded.
_NO_PAGES: Final = frozenset({"ws", "wss", "data", "blob", "about", "javascript"})
#: What a page from a file says of itself to a WebSocket.
_FILE: Final = "file://"
_LABEL: Final = r"[0-9a-z_]([0-9a-z_-]{0,61}[0-9a-z_])?"
#: A name whose last label is a number is an IPv4 address to a browser, which writes it in full.
_NAME: Final = re.compile(rf"({_LABEL}\.)*(?!(\d+|0x[0-9a-f]*)\.?$){_LABEL}\.?")
#: What stands for a host in the origin of an app need be no name, as in `app://-` of Electron.
_APP_NAME: Final = re.compile(r"[0-9a-z._-]+")
_EXPECTED: Final = "expected exact origins, as in https://prices.example.com, or * for any page"


def read_origin(raw: str) -> str:
    """Read one origin and write it as browsers do (RFC 6454 §6.2).

    Besides pages of http and https, those of apps and extensions have one, as in
    `capacitor://localhost` or `chrome-extension://abcdefgh`.

    Raises:
        ValueError: it is not exactly a scheme, a host and an optional port, or one that no
            page has.
    """
    if raw.lower() == _FILE:
        return _FILE
    try:
        parts = urlsplit(raw)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if not host or "@" in parts.netloc or f"{parts.scheme}://{parts.netloc}".lower() != raw.lower():
        raise ValueError(_EXPECTED)
    if parts.scheme in _NO_PAGES:
        raise ValueError(f"{_EXPECTED}; a page's own is https://, also where it opens wss://")
    shown = _canonical_host(host, _NAME if parts.scheme in _DEFAULT_PORTS else _APP_NAME)
    if port is None or port == _DEFAULT_PORTS.get(parts.scheme):
        return f"{parts.scheme}://{shown}"
    return f"{parts.scheme}://{shown}:{port}"


def _canonical_host(host: str, name: re.Pattern[str]) -> str:
    if ":" in host:
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise ValueError(_EXPECTED) from None
    if not host.isascii():
        raise ValueError(f"{_EXPECTED}; a name in ASCII, as in https://xn--mller-kva.example")
    if not name.fullmatch(host) and not _is_ipv4(host):
        raise ValueError(_EXPECTED)
    return host


def _is_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False


def read_origins(raw: object) -> tuple[str, ...]:
    """Read allowed origins: `same origin` (none besides our own), `*`, or exact ones."""
    if isinstance(raw, str) and raw.strip() in {"", "same origin"}:
        return ()
    listed = words(raw)
    if listed == ("*",):
        return listed
    if any("*" in entry for entry in listed):
        raise ValueError(f"{_EXPECTED}; a pattern would match none: list each, or * alone")
    if "null" in listed:
        raise ValueError(f"{_EXPECTED}; null is what every sandboxed page says")
    read = tuple(read_origin(entry) for entry in listed)
    if len(set(read)) != len(read):
        raise ValueError("expected each origin once")
    return read
