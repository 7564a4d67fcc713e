"""How hosts, endpoints and URLs are read.

Rules for this module: as for `ticker/settings/readers.py`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import attrs

from ticker.market.exchanges import exchange_address
from ticker.redaction import is_ambiguous
from ticker.settings.readers import port, text

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
#: The last label of a name is no number: the system would take `127.1` or `0` for an address.
_HOST_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\.?$|0[xX][0-9A-Fa-f]*\.?$){_LABEL}\.?")
_HOST_NAME_CHARS: Final = 253


@attrs.frozen
class Endpoint:
    """A host and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def host(raw: object) -> str:
    """Read an address, an IPv6 one in brackets or without, or the name of a host."""
    word = text(raw)
    bare = word[1:-1] if word.startswith("[") and word.endswith("]") else word
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is not None and (bare == word or address.version == 6):  # noqa: PLR2004 - IPv6
        return bare
    if address is None and len(word) <= _HOST_NAME_CHARS and _HOST_NAME.fullmatch(word):
        return word
    raise ValueError("expected an address or the name of a host alone, as in 127.0.0.1 or ::1")


def feed_url(raw: object) -> str:
    """Read the WebSocket address of an exchange."""
    return _clear(exchange_address.feed_url(raw))


def http_url(raw: object) -> str:
    """Read the address of an exchange's HTTP interface."""
    return _clear(exchange_address.http_url(raw))


def proxy_url(raw: object) -> str:
    """Read the address of an HTTP proxy."""
    return _clear(exchange_address.proxy_url(raw))


def _clear(address: str) -> str:
    """Refuse an address of which a part of the password might be taken for the host, and shown."""
    if is_ambiguous(address):
        raise ValueError("expected / ? # and @ in a password as %2F %3F %23 and %40")
    return address


def endpoint(raw: object) -> Endpoint:
    """Read a host and a port, as in `127.0.0.1:9090` or `[::1]:9090`."""
    where, colon, number = text(raw).rpartition(":")
    if colon and (":" in where) == where.startswith("["):
        try:
            return Endpoint(host(where), port(number))
        except ValueError:
            pass
    raise ValueError("expected an address and a port, as in 127.0.0.1:9090")


def metrics_access(raw: object) -> str | Endpoint:
    """Read how metrics are reached: `open`, `token`, or an address of their own."""
    word = text(raw)
    if word in {"open", "token"}:
        return word
    try:
        return endpoint(raw)
    except ValueError:
        raise ValueError("expected open, token, or an address like 127.0.0.1:9090") from None
