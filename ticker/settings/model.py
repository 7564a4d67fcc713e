"""Every setting: its name, what it means, its default, how it is read and checked.

`ticker/settings/loader.py` reads them, with what is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
from sqlalchemy.engine import make_url

from ticker import limits
from ticker.addresses import is_loopback
from ticker.market.quote import DEFAULT_SYMBOLS
from ticker.market.sources import SourceConfigError, find_source
from ticker.rate_limit import Rate
from ticker.security.policy import PolicySet
from ticker.settings import readers as read
from ticker.settings.readers import TokenPlace
from ticker.storage.database import Database

#: HMAC-SHA256 keys shorter than this are easier to guess than the digest (RFC 2104 §3).
STRONG_KEY_BYTES: Final = 32


def _setting(
    default: Any,
    reader: Callable[[Any], Any],
    meaning: str,
    *,
    show: Callable[[Any], str] = str,
    secret: bool = False,
) -> Any:
    return attrs.field(
        default=default,
        repr=not secret,
        metadata={"reader": reader, "meaning": meaning, "show": show, "secret": secret},
    )


def _show_words(value: tuple[str, ...]) -> str:
    return ",".join(value)


def _database_url(raw: object) -> str:
    url = read.text(raw)
    try:
        Database(url)  # opens nothing before its first use
    except ValueError:  # for a port that is no number it is SQLAlchemy's, and repeats it
        raise ValueError("expected a database file, as in sqlite:///data/auth.db") from None
    return url


def _sources(raw: object) -> tuple[str, ...]:
    specs = read.sources(raw)
    try:
        for spec in specs:
            find_source(spec)
    except SourceConfigError as error:
        raise ValueError(str(error)) from None
    return specs


@attrs.frozen(kw_only=True)
class Settings:
    """What an operator may choose. Times are in seconds."""

    host: str = _setting("127.0.0.1", read.text, "the address to listen on")
    port: int = _setting(8081, read.port, "the port to listen on; 0 lets the system choose")
    data_dir: Path = _setting(
        Path("data"),
        lambda raw: Path(read.text(raw)),
        "the directory of the database and of development secrets",
    )
    database_url: str = _setting(
        "",
        _database_url,
        "where API keys and tokens are kept; empty: auth.db in the data directory",
        show=lambda url: make_url(url).render_as_string(hide_password=True) if url else "",
        secret=True,  # it may hold a password
    )
    source: tuple[str, ...] = _setting(
        ("simulated",),
        _sources,
        "where prices come from, most preferred first",
        show=_show_words,
    )
    symbols: Mapping[str, Decimal | None] = _setting(
        DEFAULT_SYMBOLS,
        read.symbols,
        "the symbols; =price seeds the simulation",
        show=read.show_symbols,
    )
    tick: float = _setting(0.01, read.duration, "the broadcast interval", show=read.show_duration)
    token_key: tuple[bytes, ...] = _setting(
        (),
        read.secrets,
        f"HMAC keys of tokens, at most {limits.TOKEN_KEYS}: the first signs, all verify; "
        f"empty: made once in the data directory",
        secret=True,
    )
    token_ttl: float = _setting(
        3600.0, read.duration, "how long a token lives", show=read.show_duration
    )
    token_store: str = _setting(
        "database", read.choice("database", "memory"), "where token records are kept"
    )
    token_from: tuple[TokenPlace, ...] = _setting(
        ("header", "subprotocol"),
        read.token_places,
        "where a handshake may carry its token",
        show=_show_words,
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        read.origins,
        "origins of pages that may connect",
        show=lambda value: _show_words(value) or "same origin",
    )
    max_streams: int = _setting(10000, read.whole, "open streams in all; 0 lifts it")
    max_streams_per_token: int = _setting(100, read.whole, "open streams per token; 0 lifts it")
    max_streams_per_address: int = _setting(
        1000, read.whole, "open streams per address; 0 lifts it"
    )
    auth_rate: Rate = _setting(
        Rate(30, 60.0),
        read.rate,
        "token requests per address before 429; 0 lifts it",
        show=read.show_rate,
    )
    refused_rate: Rate = _setting(
        Rate(100, 60.0),
        read.rate,
        "refused handshakes per address before 429; 0 lifts it",
        show=read.show_rate,
    )
    trusted_hops: int = _setting(
        0, read.whole, "proxies in front whose X-Forwarded-For entries are believed"
    )
    demo_key: str = _setting(
        "auto",
        read.choice("auto", "off"),
        "auto makes a demo key while the database holds no key; off never does",
    )
    allow_insecure: bool = _setting(
        default=False,
        reader=read.flag,
        meaning="serve beyond this machine with the demo key or a made-up token key",
    )
    coinbase_url: str | None = _setting(
        None, read.feed_url, "another address for Coinbase's feed", show=lambda url: url or ""
    )
    kraken_url: str | None = _setting(
        None, read.feed_url, "another address for Kraken's feed", show=lambda url: url or ""
    )
    binance_url: str | None = _setting(
        None, read.feed_url, "another address for Binance's feed", show=lambda url: url or ""
    )
    restart_initial: float = _setting(
        1.0, read.duration, "the wait before a crashed source starts again", show=read.show_duration
    )
    restart_factor: float = _setting(2.0, read.number, "by how much each further wait grows")
    restart_max: float = _setting(
        90.0, read.duration, "the longest wait between restarts", show=read.show_duration
    )
    restart_jitter: float = _setting(0.1, read.number, "the part of each wait that is random")
    restart_reset: float = _setting(
        5.0, read.duration, "stable running that forgets earlier crashes", show=read.show_duration
    )
    stale_after: float = _setting(
        10.0, read.duration, "the age at which a price counts as stale", show=read.show_duration
    )
    graceful_timeout: float = _setting(
        3.0, read.duration, "how long a shutdown may take to say goodbye", show=read.show_duration
    )
    io_uring: str = _setting(
        "auto",
        read.choice("auto", "off"),
        "send ticks through an io_uring where the kernel has one; off never does",
    )
    log_format: str = _setting(
        "auto",
        read.choice("auto", "console", "json"),
        "one event a line; auto is console on a terminal, else json",
    )
    policies: PolicySet = attrs.field(factory=PolicySet.default)
    named: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """The settings that somebody chose, as opposed to left at their default."""
    ignored: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Variables of the environment that look like settings and are none."""

    @property
    def database(self) -> str | Path:
        """The database's address, or the default file."""
        return self.database_url or self.data_dir / "auth.db"

    @property
    def source_symbols(self) -> Mapping[str, Decimal | None]:
        """The symbols to ask sources for: empty where the user left the choice to them.

        The default symbols are made for the simulation and the exchanges; a recording
        brings its own.
        """
        replayed = any(source.startswith("replay:") for source in self.source)
        return {} if replayed and "symbols" not in self.named else self.symbols

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)
