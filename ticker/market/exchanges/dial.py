"""A byte stream to an exchange: by TCP, through a proxy where there is one, in TLS.

Rules: TLS is always verified for `wss://` and `https://`, against the system's authorities or
those that `SSL_CERT_FILE` names; without TLS is for a proxy or a test on one's own machine.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import trio

from ticker.limits import FEED_CONNECT_SECONDS
from ticker.market.exchanges.feed_errors import FeedError
from ticker.market.exchanges.proxy import Proxy, open_tunnel

__all__ = ["Dial", "dial", "within"]

#: Opens a stream to the host of an address, through a proxy or not.
Dial: TypeAlias = Callable[[str, Proxy | None], Awaitable[trio.abc.Stream]]


@contextmanager
def within(deadline: float, place: str) -> Iterator[None]:
    """Give up what the block does at a deadline.

    Raises:
        FeedError: the deadline has passed.
    """
    try:
        with trio.fail_at(deadline):
            yield
    except trio.TooSlowError:
        raise FeedError(f"{place}: no connection within {FEED_CONNECT_SECONDS:g} s") from None


async def dial(url: str, proxy: Proxy | None = None) -> trio.abc.Stream:
    """Open a stream to the host of an address; the caller closes it and limits the time.

    Raises:
        FeedError: a proxy refuses, or answers with something that is not HTTP.
        OSError, trio.BrokenResourceError: it cannot be opened.
    """
    parts = urlsplit(url)
    stream = await _plain_and_secure(urlsplit(proxy.url) if proxy else parts)
    if proxy is None:
        return stream
    try:
        await open_tunnel(stream, proxy, parts)
        return await _secure(stream, parts) if _is_secure(parts) else stream
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


def _is_secure(parts: SplitResult) -> bool:
    return parts.scheme in {"wss", "https"}


async def _plain_and_secure(parts: SplitResult) -> trio.abc.Stream:
    port = parts.port or (443 if _is_secure(parts) else 80)
    stream = await trio.open_tcp_stream(str(parts.hostname), port)
    if not _is_secure(parts):
        return stream
    try:
        return await _secure(stream, parts)
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise


async def _secure(stream: trio.abc.Stream, parts: SplitResult) -> trio.abc.Stream:
    """Make sure that it is that host at the other end."""
    # Reading the authorities takes tens of milliseconds, which are several ticks.
    context = await trio.to_thread.run_sync(ssl.create_default_context)
    tls = trio.SSLStream(
        stream, context, server_hostname=str(parts.hostname), https_compatible=True
    )
    await tls.do_handshake()
    return tls
