"""An HTTP proxy on the way to an exchange: which one, and the tunnel through it by CONNECT.

CONNECT: RFC 9110 §9.3.6. Which one: that of `TICKER_FEED_PROXY`; without it, what the
environment's `HTTPS_PROXY` and `NO_PROXY` say, as for other programs.
"""

from __future__ import annotations

import base64
import urllib.request
from urllib.parse import SplitResult, unquote, urlsplit

import attrs
import trio

from ticker.market.exchanges.exchange_address import place_of, proxy_url
from ticker.market.exchanges.http_head import read_head, refusal

__all__ = ["Proxy", "choose_proxy", "open_tunnel"]


@attrs.frozen
class Proxy:
    """A proxy; its address may hold a user and a password, which are shown nowhere."""

    url: str = attrs.field(repr=False)

    @property
    def place(self) -> str:
        """What may be shown of it: its host and port."""
        return place_of(self.url)

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`, where the address has a user (RFC 7617)."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return None
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"


def choose_proxy(setting: str | None, url: str) -> Proxy | None:
    """Return the proxy for an address, if any.

    Args:
        setting: the proxy that was asked for, with which the environment is not.
        url: the address to reach.

    Raises:
        ValueError: the environment names a proxy by something that is no address.
    """
    if setting is not None:
        return Proxy(proxy_url(setting))
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    found = urllib.request.getproxies_environment().get("https")
    if not found or urllib.request.proxy_bypass(host):
        return None
    try:
        return Proxy(proxy_url(found if "://" in found else f"http://{found}"))
    except ValueError as error:
        raise ValueError(f"HTTPS_PROXY: {error}") from None


async def open_tunnel(stream: trio.abc.Stream, proxy: Proxy, target: SplitResult) -> None:
    """Have a proxy connect the stream to a host.

    Raises:
        StatusError: the proxy refuses.
        FeedError: it does not answer as one.
    """
    secure = target.scheme in {"wss", "https"}
    host = f"[{target.hostname}]" if ":" in str(target.hostname) else target.hostname
    authority = f"{host}:{target.port or (443 if secure else 80)}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await stream.send_all("\r\n".join([*lines, "", ""]).encode("ascii"))
    head = await read_head(stream, f"proxy {proxy.place}")
    if head.status // 100 != 2:  # noqa: PLR2004 - any 2xx opens the tunnel
        raise refusal(f"proxy {proxy.place}", head, f"{authority} refused")
