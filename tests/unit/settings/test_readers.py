"""How each kind of setting is read, and shown again the way it is read."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.market.exchanges import exchange_address
from ticker.market.sources.spec import SourceSpec
from ticker.rate_limit import Rate
from ticker.settings import network_readers as network
from ticker.settings import readers as read
from ticker.settings.network_readers import Endpoint
from ticker.settings.origins import read_origins

READERS: list[Callable[[object], object]] = [
    read.text,
    read.whole,
    read.number,
    read.flag,
    read.port,
    read.duration,
    read.rate,
    read.words,
    read.sources,
    read.symbols,
    read_origins,
    read.choice("a", "b"),
    read.token_places,
    read.secrets,
    exchange_address.feed_url,
    exchange_address.http_url,
    exchange_address.proxy_url,
    network.host,
    network.endpoint,
    network.metrics_access,
]
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.text() | st.integers(), max_size=3)
    | st.dictionaries(st.text(), st.integers() | st.text(), max_size=3)
)


@pytest.mark.parametrize("reader", READERS)
@given(raw=ANYTHING)
def test_anything_at_all_is_read_or_a_value_error(
    reader: Callable[[object], object], raw: object
) -> None:
    fault = "expected "
    try:
        reader(raw)
    except ValueError as error:
        fault = str(error)
    assert fault.startswith("expected ")
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("reader", "raw", "value"),
    [
        (read.duration, "10ms", 0.01),
        (read.duration, "3s", 3.0),
        (read.duration, " 1.5 m ", 90.0),
        (read.duration, "1h", 3600.0),
        (read.duration, "90d", 90 * 86400.0),
        (read.whole, "0", 0),
        (read.whole, 7, 7),
        (read.number, "0.1", 0.1),
        (read.number, 2, 2.0),
        (read.port, "0", 0),
        (read.port, 65535, 65535),
        (read.flag, "Yes", True),
        (read.flag, False, False),
        (read.rate, "30/minute", Rate(30, 60.0)),
        (read.rate, "5 / second", Rate(5, 1.0)),
        (read.rate, "0", Rate(0, 60.0)),
        (read.rate, 0, Rate(0, 60.0)),
        (read.words, "a, b", ("a", "b")),
        (read.words, ["a", "b"], ("a", "b")),
        (read.sources, "coinbase, kraken", (SourceSpec("coinbase"), SourceSpec("kraken"))),
        (read.sources, "replay:a,b[1].jsonl?speed=2", (SourceSpec("replay:a,b[1].jsonl?speed=2"),)),
        (
            read.sources,
            "coinbase[A-USD  B-USD],simulated:pace=1 [C-USD],kraken",
            (
                SourceSpec("coinbase", ("A-USD", "B-USD")),
                SourceSpec("simulated:pace=1", ("C-USD",)),
                SourceSpec("kraken"),
            ),
        ),
        (
            read.sources,
            ["coinbase[A-USD B-USD]", "replay:a,b"],
            (SourceSpec("coinbase", ("A-USD", "B-USD")), SourceSpec("replay:a,b")),
        ),
        (network.host, "[::1]", "::1"),
        (network.host, "fe80::1%eth0", "fe80::1%eth0"),
        (network.host, " 0.0.0.0 ", "0.0.0.0"),  # noqa: S104 - the subject
        (network.host, "my_service.ns-1.svc.", "my_service.ns-1.svc."),
        (network.endpoint, "[::1]:9090", Endpoint("::1", 9090)),
        (network.endpoint, "localhost:0", Endpoint("localhost", 0)),
        (network.metrics_access, " token ", "token"),
        (network.metrics_access, "127.0.0.1:9090", Endpoint("127.0.0.1", 9090)),
        (exchange_address.http_url, "https://api.example:8443/v1/", "https://api.example:8443/v1"),
        (exchange_address.proxy_url, "http://u:p@proxy:3128/", "http://u:p@proxy:3128"),
        (read.symbols, "BTC-USD=42000,ETH-USD", {"BTC-USD": Decimal(42000), "ETH-USD": None}),
        (read.symbols, {"BTC-USD": 1.5}, {"BTC-USD": Decimal("1.5")}),
        (read.symbols, ["BTC-USD", "ETH-USD=2"], {"BTC-USD": None, "ETH-USD": Decimal(2)}),
        (read.symbols, "A-B=1e18,C-D=1e-18", {"A-B": Decimal("1e18"), "C-D": Decimal("1e-18")}),
        (read.token_places, "cookie,header", ("header", "cookie")),
        (read.secrets, "one,two", (b"one", b"two")),
        (read.secrets, "a,b,c,d,e,f,g,h", (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h")),
        (exchange_address.feed_url, "ws://127.0.0.1:9/x", "ws://127.0.0.1:9/x"),
        (read.choice("auto", "off"), False, "off"),
    ],
)
def test_good_values_are_read(
    reader: Callable[[object], object], raw: object, value: object
) -> None:
    assert reader(raw) == value


@pytest.mark.parametrize(
    ("reader", "raw"),
    [
        (read.duration, "10"),
        (read.duration, 10),
        (read.duration, "0s"),
        (read.duration, "-1s"),
        (read.duration, "1 fortnight"),
        (read.duration, "\u0663s"),
        (read.duration, "9" * 400 + "s"),
        (read.whole, "-1"),
        (read.whole, -1),
        (read.whole, True),
        (read.whole, "1.5"),
        (read.whole, 1.5),
        (read.number, float("nan")),
        (read.number, float("inf")),
        (read.number, -0.1),
        (read.port, 65536),
        (read.flag, "maybe"),
        (read.flag, 1),
        (read.rate, "30"),
        (read.rate, "30/day"),
        (read.rate, 30),
        (read.words, "a,,b"),
        (read.words, "a,a"),
        (read.symbols, "btc-usd"),
        (read.symbols, "BTC-USD=0"),
        (read.symbols, "BTC-USD=-1"),
        (read.symbols, "BTC-USD=nan"),
        (read.symbols, "BTC-USD=x"),
        (read.symbols, "BTC-USD=1e400"),
        (read.symbols, "BTC-USD=1e999999"),
        (read.symbols, "BTC-USD=1.01e18"),
        (read.symbols, "BTC-USD=9e-19"),
        (read.symbols, {"BTC-USD": float("inf")}),
        (read.symbols, "BTC-USD=1,BTC-USD=2"),
        (read.token_places, "header,body"),
        (read.secrets, ""),
        (read.secrets, "a,"),
        (read.secrets, "a,b,c,d,e,f,g,h,i"),
        (exchange_address.feed_url, "http://a.example"),
        (exchange_address.feed_url, "wss://"),
        (read.sources, "coinbase[]"),
        (read.sources, "coinbase[A-USD,B-USD"),
        (read.sources, "coinbase[A-USD A-USD]"),
        (read.sources, "coinbase[usd]"),
        (read.sources, "coinbase[A-USD]x"),
        (read.sources, "coinbase,coinbase[A-USD]"),
        (network.host, "0"),
        (network.host, "127.1"),
        (network.host, "0x7f.1"),
        (network.host, "999.0.0.1"),
        (network.host, "[127.0.0.1]"),
        (network.host, "[::1"),
        (network.host, "127.0.0.1:8081"),
        (network.host, "[::1]:8081"),
        (network.host, "http://localhost"),
        (network.host, "no host"),
        (network.host, "-a.example"),
        (network.host, "a." * 130),
        (network.endpoint, "9090"),
        (network.endpoint, "::1:9090"),
        (network.endpoint, "[localhost]:9090"),
        (network.endpoint, "localhost:65536"),
        (network.metrics_access, "closed"),
        (exchange_address.http_url, "wss://a.example"),
        (exchange_address.http_url, "https://a.example/?x=1"),
        (exchange_address.proxy_url, "proxy:3128"),
        (exchange_address.proxy_url, "http://proxy:x"),
        (exchange_address.proxy_url, "http://proxy/path"),
        (read.text, "  "),
    ],
)
def test_bad_values_are_refused(reader: Callable[[object], object], raw: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        reader(raw)


@given(st.integers(1, 10**11))
def test_a_duration_is_shown_the_way_it_is_read(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert read.duration(read.show_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.01, "10ms"),
        (0.0005, "0.5ms"),
        (1000.001, "1000001ms"),
        (3.0, "3s"),
        (90.0, "90s"),
        (3600.0, "1h"),
        (86400.0, "1d"),
    ],
)
def test_a_duration_is_shown_in_the_largest_exact_unit(seconds: float, shown: str) -> None:
    assert read.show_duration(seconds) == shown


@given(st.integers(0, 10**9 - 1), st.sampled_from(["second", "minute", "hour"]))
def test_a_rate_is_shown_the_way_it_is_read(count: int, period: str) -> None:
    value = read.rate(f"{count}/{period}")
    assert read.rate(read.show_rate(value)).count == count


@given(
    st.dictionaries(
        st.sampled_from(["BTC-USD", "ETH-USD", "BTC-EUR"]),
        st.none() | st.decimals("1e-12", "1e12", allow_nan=False, places=12),
        min_size=1,
    )
)
def test_symbols_are_shown_the_way_they_are_read(value: dict[str, Decimal | None]) -> None:
    assert read.symbols(read.show_symbols(value)) == value


@pytest.mark.parametrize("text", ["coinbase", "coinbase[A-USD B-USD],kraken:x=1[A-USD]"])
def test_sources_are_shown_the_way_they_are_read(text: str) -> None:
    assert read.show_sources(read.sources(text)) == text
