"""Every setting: its name, what it means, its default, how it is read and checked.

`ticker/settings/loader.py` reads them, with what is said here; `docs/settings.md` is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs

from ticker import limits
from ticker.addresses import is_loopback
from ticker.market.quote import DEFAULT_SYMBOLS
from ticker.market.sources.spec import SourceSpec
from ticker.rate_limit import Rate
from ticker.security.policy import PolicySet
from ticker.settings import network_readers as network
from ticker.settings import place_readers as places
from ticker.settings import readers as read
from ticker.settings.bus_address import bus_url, market_name
from ticker.settings.fields import setting
from ticker.settings.network_readers import Endpoint
from ticker.settings.origins import read_origins
from ticker.settings.readers import TokenPlace

#: HMAC-SHA256 keys shorter than this are easier to guess than the digest (RFC 2104 §3).
STRONG_KEY_BYTES: Final = 32
#: The database in the data directory.
DATABASE_FILE: Final = "auth.db"


@attrs.frozen(kw_only=True)
class Settings:
    """What an operator may choose. Times are in seconds."""

    host: str = setting(
        "127.0.0.1", network.host, "the address, or the host's name, to listen on", "::1"
    )
    port: int = setting(8081, read.port, "the port to listen on; 0 lets the system choose", "8081")
    data_dir: Path = setting(
        Path("data"),
        places.path,
        "the directory of the database and of development secrets",
        "/var/lib/ticker",
    )
    workers: int = setting(
        1,
        read.workers,
        "processes that serve, of one market; 1 for a single one",
        "4",
    )
    database_url: str = setting(
        "",
        places.database_url,
        "where API keys and tokens are kept",
        "sqlite:////var/lib/ticker/auth.db",
        address=True,
    )
    key_pepper: bytes = setting(
        b"",
        read.pepper,
        "the secret that API keys are hashed with; several machines need the same",
        "32-random-bytes-or-more-for-every-machine",
        secret=True,
        unset="made once in the data directory",
    )
    bus: str = setting(
        "",
        bus_url,
        "Redis, or its Sentinels, for several machines that share one market",
        "redis+sentinel://10.0.0.1,10.0.0.2,10.0.0.3/ticker",
        address=True,
        unset="none: one machine",
    )
    market: str = setting("ticker", market_name, "the name of that market on the bus", "ticker-eu")
    source: tuple[SourceSpec, ...] = setting(
        (SourceSpec("simulated"),),
        places.sources,
        "where prices come from, most preferred first; each may name its own symbols",
        "coinbase,kraken[BTC-USD ETH-USD]",
        show=read.show_sources,
    )
    select: str = setting(
        "first",
        read.choice("first", "median"),
        "with several sources: the most preferred that is fresh, or the median of all that are",
        "median",
    )
    fallback_quotes: str = setting(
        "same",
        read.choice("same", "stable"),
        "same: a symbol fails over only to a source of the same quote currency; stable: "
        "USD may fail over to USDT or USDC",
        "stable",
    )
    backfill: str = setting(
        "on",
        read.choice("on", "off"),
        "fill gaps of the history from the exchange's public candles",
        "off",
    )
    symbols: Mapping[str, Decimal | None] = setting(
        DEFAULT_SYMBOLS,
        read.symbols,
        "the symbols; =price seeds the simulation",
        "BTC-USD=42000,ETH-USD",
        show=read.show_symbols,
    )
    tick: float = setting(
        0.01, read.duration, "the broadcast interval", "50ms", show=read.show_duration
    )
    compression: str = setting(
        "auto",
        read.choice("auto", "off"),
        "auto compresses larger frames for who offers permessage-deflate; off never does",
        "off",
    )
    log_seconds: int = setting(
        30,
        read.whole,
        "how many seconds of ticks a client of the mode every may have missed and resume",
        "60",
    )
    token_key: tuple[bytes, ...] = setting(
        (),
        read.secrets,
        f"HMAC keys of tokens, at most {limits.TOKEN_KEYS}: the first signs, all verify",
        "a-new-key-of-32-random-bytes,the-key-before-it",
        secret=True,
        unset="made once in the data directory",
    )
    token_ttl: float = setting(
        3600.0, read.duration, "how long a token lives", "15m", show=read.show_duration
    )
    token_store: str = setting(
        "database", read.choice("database", "memory"), "where token records are kept", "memory"
    )
    token_from: tuple[TokenPlace, ...] = setting(
        ("header", "subprotocol"),
        read.token_places,
        "where a handshake may carry its token: header, subprotocol, query, cookie",
        "header,subprotocol,cookie",
        show=read.show_words,
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        read_origins,
        "origins of pages that may connect, or * for any",
        "https://prices.example.com",
        show=lambda value: read.show_words(value) or "same origin",
    )
    max_streams: int = setting(10000, read.whole, "open streams in all; 0 lifts it", "50000")
    max_streams_per_key: int = setting(
        1000,
        read.whole,
        "open streams per API key, unless its role says otherwise; 0 lifts it",
        "100",
    )
    max_streams_per_token: int = setting(
        100, read.whole, "open streams per token; 0 lifts it", "10"
    )
    max_streams_per_address: int = setting(
        1000, read.whole, "open streams per address; 0 lifts it", "100"
    )
    auth_rate: Rate = setting(
        Rate(30, 60.0),
        read.rate,
        "token requests per address before 429; 0 lifts it",
        "10/minute",
        show=read.show_rate,
    )
    refused_rate: Rate = setting(
        Rate(100, 60.0),
        read.rate,
        "refused handshakes per address before 429; 0 lifts it",
        "20/minute",
        show=read.show_rate,
    )
    http_rate: Rate = setting(
        Rate(20, 1.0),
        read.rate,
        "HTTP requests per address before 429; 0 lifts it",
        "50/second",
        show=read.show_rate,
    )
    metrics: str | Endpoint = setting(
        "open",
        network.metrics_access,
        "who reads /metrics: open, token (a role with the action metrics), or an address to "
        "listen on for it alone",
        "127.0.0.1:9090",
    )
    trusted_hops: int = setting(
        0,
        read.whole,
        "proxies in front whose X-Forwarded-For or Forwarded entries are believed",
        "1",
    )
    demo_key: str = setting(
        "auto",
        read.choice("auto", "off"),
        "auto makes a demo key while the database holds no key; off never does",
        "off",
    )
    allow_insecure: bool = setting(
        default=False,
        reader=read.flag,
        meaning="serve beyond this machine with the demo key or a made-up token key",
        example="true",
        show=lambda value: "true" if value else "false",
    )
    feed_proxy: str | None = setting(
        None,
        network.proxy_url,
        "an HTTP proxy for the exchanges' feeds",
        "http://proxy.example.com:3128",
        address=True,
        unset="HTTPS_PROXY and NO_PROXY as usual",
    )
    restart_initial: float = setting(
        1.0,
        read.duration,
        "the wait before a crashed source starts again",
        "500ms",
        show=read.show_duration,
    )
    restart_factor: float = setting(2.0, read.number, "by how much each further wait grows", "1.5")
    restart_max: float = setting(
        90.0, read.duration, "the longest wait between restarts", "5m", show=read.show_duration
    )
    restart_jitter: float = setting(0.1, read.number, "the part of each wait that is random", "0.2")
    restart_reset: float = setting(
        5.0,
        read.duration,
        "stable running that forgets earlier crashes",
        "30s",
        show=read.show_duration,
    )
    stale_after: float = setting(
        10.0,
        read.duration,
        "the age at which a price counts as stale",
        "5s",
        show=read.show_duration,
    )
    graceful_timeout: float = setting(
        3.0, read.duration, "how long a shutdown may take", "10s", show=read.show_duration
    )
    io_uring: str = setting(
        "auto",
        read.choice("auto", "off"),
        "send ticks through an io_uring where the kernel has one; off never does",
        "off",
    )
    log_format: str = setting(
        "auto",
        read.choice("auto", "console", "json"),
        "one event a line; auto is console on a terminal, else json",
        "json",
    )
    feed_urls: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Addresses of feeds that the operator chose, by the source's name (`TICKER_<SOURCE>_URL`)."""
    rest_urls: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """The same of REST interfaces (`TICKER_<SOURCE>_REST_URL`)."""
    policies: PolicySet = attrs.field(factory=PolicySet.default)
    named: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """The settings that the operator chose, as opposed to left at their default."""
    ignored: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Variables of the environment that look like settings and are none."""

    @property
    def database(self) -> str | Path:
        """The database's address, or the default file."""
        return self.database_url or self.data_dir / DATABASE_FILE

    def symbols_for(self, spec: SourceSpec) -> Mapping[str, Decimal | None]:
        """Return the symbols to ask one source for; empty where it is to offer what it has.

        Its own where it names some; else the market's. The default symbols are made for the
        simulation and the exchanges: with a recording, which brings its own, no source is
        asked for them.
        """
        if spec.symbols:
            return {symbol: self.symbols.get(symbol) for symbol in spec.symbols}
        replayed = any(source.name == "replay" for source in self.source)
        return {} if replayed and "symbols" not in self.named else self.symbols

    @property
    def makes_demo_key(self) -> bool:
        """Whether one is made while the database has no key; several machines have none."""
        return self.demo_key == "auto" and not self.bus

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)
