"""The link to an exchange over real sockets: TLS, refusals, resets, endless messages."""

from __future__ import annotations

import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.exchange_standin import (
    BINANCE,
    COINBASE,
    KRAKEN,
    ConnectProxy,
    Manners,
    StandIn,
    TlsExchange,
)
from tests.exchange_standin import served_over_tls as served
from ticker.limits import FEED_CLOSE_SECONDS, FEED_CONNECT_SECONDS, FEED_MESSAGE_BYTES
from ticker.market.exchanges.exchange_socket import connected
from ticker.market.exchanges.feed import Feed
from ticker.market.exchanges.feed_errors import FeedError, StatusError
from ticker.market.sources import (
    Source,
    SourceConfigError,
    SourceContext,
    load_source,
    open_batches,
)

#: No test here waits for longer, unless the program does something wrong.
PATIENCE_SECONDS = 10


@pytest.fixture
async def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TlsExchange]:
    async with served(StandIn(COINBASE), tmp_path) as exchange:
        monkeypatch.setenv("SSL_CERT_FILE", str(exchange.authority))
        with trio.fail_after(PATIENCE_SECONDS):
            yield exchange


@pytest.mark.parametrize(
    ("manners", "path"),
    [(COINBASE, ""), (KRAKEN, "/v2"), (BINANCE, "/stream")],
    ids=["coinbase", "kraken", "binance"],
)
async def test_prices_come_over_verified_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manners: Manners, path: str
) -> None:
    symbol = "BTC-USDT" if manners is BINANCE else "BTC-USD"
    async with served(StandIn(manners), tmp_path, path) as exchange:
        monkeypatch.setenv("SSL_CERT_FILE", str(exchange.authority))
        context = SourceContext(symbols={symbol: None}, url=exchange.url)
        source = load_source(manners.name, context)
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def _trade() -> None:
                    await exchange.standin.subscribed()
                    await exchange.standin.trade(symbol, "0.07210000")

                async with open_batches(source) as batches:
                    async for [quote] in batches:
                        if str(quote.price) == "0.07210000":
                            break
        assert quote.source == manners.name


async def test_an_authority_that_is_not_trusted_is_refused(
    exchange: TlsExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(FeedError, match=r"^localhost:\d+: SSLCertVerificationError"):
        async with connected(exchange.url):
            pass
    assert exchange.standin.accepted == 0


async def test_a_certificate_of_another_name_is_refused(exchange: TlsExchange) -> None:
    url = exchange.url.replace("localhost", "127.0.0.1")
    with pytest.raises(FeedError, match="SSLCertVerificationError"):
        async with connected(url):
            pass
    assert exchange.standin.accepted == 0


async def receive(url: str, before: Callable[[], Awaitable[object]]) -> None:
    """Receive over a new link until it breaks, after doing something."""
    async with connected(url) as link:
        await link.send('{"type":"subscribe","product_ids":["BTC-USD"],"channels":["ticker"]}')
        await link.receive()
        await before()
        await link.receive()


async def test_a_reset_is_one_clear_fault(exchange: TlsExchange) -> None:
    with pytest.raises(FeedError, match=r"^localhost:\d+: closed with 1006"):
        await receive(exchange.url, exchange.reset)


async def test_an_endless_message_ends_the_link_within_its_bound(exchange: TlsExchange) -> None:
    endless = "x" * (FEED_MESSAGE_BYTES + 1)
    with pytest.raises(FeedError, match=f"a message of more than {FEED_MESSAGE_BYTES} bytes"):
        await receive(exchange.url, partial(exchange.standin.say, endless))


async def test_an_exchange_that_takes_no_leave_does_not_hold_up_the_next_try(
    exchange: TlsExchange,
) -> None:
    async def fall_silent() -> None:
        exchange.standin.mute = True
        raise FeedError("what ended it")

    started = time.monotonic()
    with pytest.raises(FeedError, match="what ended it"):
        await receive(exchange.url, fall_silent)
    assert time.monotonic() - started < FEED_CLOSE_SECONDS + 2


async def test_an_endless_message_is_counted_and_ends_the_feed(exchange: TlsExchange) -> None:
    reports: list[str] = []
    context = SourceContext(
        symbols={"BTC-USD": None}, url=exchange.url, report=lambda kind, _: reports.append(kind)
    )
    source = load_source("coinbase", context)

    async def say_endlessly() -> None:
        await exchange.standin.subscribed()
        await exchange.standin.say("x" * (FEED_MESSAGE_BYTES + 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say_endlessly)
        with pytest.raises(FeedError, match="a message of more than"):
            await drain(source)
        nursery.cancel_scope.cancel()
    assert reports == ["message_too_big"]


async def drain(source: Source) -> None:
    async with open_batches(source) as batches:
        async for _ in batches:
            pass


@asynccontextmanager
async def tcp_server(
    handler: Callable[[trio.SocketStream], object],
) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, handler, 0)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_refused_upgrade_is_one_clear_fault() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 451 Unavailable\r\nContent-Length: 0\r\n\r\n")

    with trio.fail_after(PATIENCE_SECONDS):
        async with tcp_server(refuse) as url:
            with pytest.raises(FeedError, match="refused with HTTP status 451"):
                async with connected(url):
                    pass


async def test_a_server_that_says_nothing_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("exchange_socket", "dial"):
        monkeypatch.setattr(f"ticker.market.exchanges.{module}.FEED_CONNECT_SECONDS", 0.2)
    assert FEED_CONNECT_SECONDS == 10

    async def say_nothing(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await trio.sleep_forever()

    with trio.fail_after(PATIENCE_SECONDS):
        async with tcp_server(say_nothing) as url:
            with pytest.raises(FeedError, match=r"^127.0.0.1:\d+: no connection within 0\.2 s"):
                async with connected(url):
                    pass


async def test_a_port_without_a_listener_is_one_clear_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(FeedError, match=f"^127.0.0.1:{port}: ConnectionRefusedError"):
        async with connected(f"ws://127.0.0.1:{port}/secret-path?token=secret"):
            pass


async def test_no_secret_of_an_address_is_ever_shown() -> None:
    url = "ws://user:hunter2@127.0.0.1:1/path?token=hunter2"
    source = load_source("coinbase", SourceContext(symbols={}, url=url))
    assert "hunter2" not in repr(source)
    with pytest.raises(FeedError, match="ConnectionRefusedError") as caught:
        await drain(source)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    ["localhost:8080", "http://localhost", "wss://", "wss://host:x", "wss://[", "ws://h:0"],
)
def test_an_address_that_is_none_is_one_clear_line(url: str) -> None:
    with pytest.raises(SourceConfigError, match="coinbase: expected an address that starts with"):
        load_source("coinbase", SourceContext(symbols={}, url=url))


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@asynccontextmanager
async def proxied(proxy: ConnectProxy) -> AsyncIterator[str]:
    """Serve a proxy and give its address without credentials."""
    async with tcp_server(proxy.serve) as url:
        yield url.removeprefix("ws://")


BASIC = "Basic am9lOnM6QGNyZXQ="  # joe:s:@cret


@pytest.mark.parametrize("by", ["setting", "environment"])
async def test_streams_and_rest_go_through_the_proxy_by_connect(
    exchange: TlsExchange, no_proxies: pytest.MonkeyPatch, by: str
) -> None:
    proxy = ConnectProxy(BASIC)
    exchange.standin.markets["BTC-USD"].price = "42000.10"
    async with proxied(proxy) as place:
        address = f"http://joe:s%3A%40cret@{place}"
        if by == "environment":
            no_proxies.setenv("HTTPS_PROXY", address)
        context = SourceContext(
            symbols={"BTC-USD": None, "NO-USD": None},
            url=exchange.url,
            proxy=address if by == "setting" else None,
        )
        async with open_batches(load_source("coinbase", context)) as batches:
            async for [quote] in batches:
                assert str(quote.price) == "42000.10"
                break
            await exchange.standin.wait_for(lambda: bool(exchange.standin.questions))
    target = exchange.url.removeprefix("wss://").strip("/")
    assert proxy.targets == [target, target]


async def test_no_proxy_is_used_for_a_host_of_no_proxy_unless_a_setting_names_one(
    exchange: TlsExchange, no_proxies: pytest.MonkeyPatch
) -> None:
    no_proxies.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    no_proxies.setenv("NO_PROXY", "localhost")
    free = load_source("coinbase", SourceContext(symbols={}, url=exchange.url))
    assert isinstance(free, Feed)
    assert (free.proxy, free.rest_proxy) == (None, None)
    context = SourceContext(symbols={}, url=exchange.url, proxy="http://127.0.0.1:1")
    bound = load_source("coinbase", context)
    assert isinstance(bound, Feed)
    assert bound.proxy is not None
    with pytest.raises(FeedError, match="ConnectionRefusedError"):
        await drain(bound)


@pytest.mark.usefixtures("no_proxies")
async def test_a_proxy_that_refuses_is_one_clear_fault_without_its_password(
    exchange: TlsExchange,
) -> None:
    async with proxied(ConnectProxy(BASIC)) as place:
        context = SourceContext(symbols={}, url=exchange.url, proxy=f"http://joe:hunter2@{place}")
        source = load_source("coinbase", context)
        assert "hunter2" not in repr(source)
        target = exchange.url.removeprefix("wss://").strip("/")
        reason = rf"^proxy {place}: {target} refused with HTTP status 407 \("
        with pytest.raises(StatusError, match=reason) as caught:
            await drain(source)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_proxy_of_the_environment_that_is_none_is_one_clear_line(
    no_proxies: pytest.MonkeyPatch,
) -> None:
    no_proxies.setenv("HTTPS_PROXY", "socks5://joe:hunter2@box")
    with pytest.raises(SourceConfigError, match="coinbase: HTTPS_PROXY: expected a") as caught:
        load_source("coinbase", SourceContext(symbols={}))
    assert "hunter2" not in str(caught.value)
