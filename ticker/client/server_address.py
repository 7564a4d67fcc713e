"""Where the server is: the two addresses that one URL stands for.

Rules for this module: pure. A URL that is not understood is a `ValueError` at once.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import attrs

from ticker.protocol.paths import STREAM_PATH, TOKEN_PATH

_SECURE: Final = {"http": False, "ws": False, "https": True, "wss": True}


@attrs.frozen
class Address:
    """A Ticker server.

    Attributes:
        secure: whether it is spoken to over TLS.
        host: a name or an address, IPv6 without brackets.
        port: the TCP port.
        base: the path below which a reverse proxy serves it; mostly empty.
    """

    secure: bool
    host: str
    port: int
    base: str

    @property
    def authority(self) -> str:
        """Host and port as in a URL and a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(secure=self.secure) else f"{host}:{self.port}"

    @property
    def stream_path(self) -> str:
        """The path of the WebSocket."""
        return f"{self.base}{STREAM_PATH}"

    @property
    def token_url(self) -> str:
        """Where an API key is exchanged for a token."""
        return f"{self}{TOKEN_PATH}"

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.base}"


def parse_address(url: str) -> Address:
    """Read `http(s)://host:port` or `ws(s)://host:port/ws/ticker`.

    Raises:
        ValueError: it is neither; the text says what is wrong and never repeats the URL,
            which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the URL's host or port is not valid") from None
    secure = _SECURE.get(parts.scheme)
    if secure is None:
        raise ValueError("the URL must begin with http://, https://, ws:// or wss://")
    if not parts.hostname:
        raise ValueError("the URL has no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL must hold no user or password; pass api_key")
    if parts.query or parts.fragment:
        raise ValueError("the URL must have no query and no fragment")
    base = parts.path.rstrip("/").removesuffix(STREAM_PATH)
    if not base.isascii() or not base.isprintable() or " " in base:
        raise ValueError("the URL's path must be percent-encoded")
    return Address(
        secure, parts.hostname, _default_port(secure=secure) if port is None else port, base
    )


def _default_port(*, secure: bool) -> int:
    return 443 if secure else 80
