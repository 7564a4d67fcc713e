"""Every setting: its name, what it means, its default, how it is read and checked.

A setting comes from a TOML file, then the environment (`TICKER_*`), then the command line;
the later wins. `load` reads all of them and reports every fault at once, one line each;
the value of a secret is never part of a line.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ticker import setting_types as read
from ticker.security.policy import PolicyError, PolicySet
from ticker.setting_types import Rate, TokenPlace

#: Where settings are looked for when nobody names a file.
DEFAULT_FILE: Final = Path("ticker.toml")
#: The environment variable that names another file, for launches without a `--config`.
FILE_VARIABLE: Final = "TICKER_CONFIG"
PREFIX: Final = "TICKER_"
MASK: Final = "********"
#: HMAC-SHA256 keys shorter than this are easier to guess than the digest (RFC 2104 §3).
STRONG_KEY_BYTES: Final = 32


class SettingsError(Exception):
    """Settings are wrong; `faults` holds one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
    try:
        make_url(read.text(raw))
    except ArgumentError:
        raise ValueError("expected a database address, as in sqlite:///data/auth.db") from None
    return read.text(raw)


_DEFAULT_SYMBOLS: Final[Mapping[str, Decimal | None]] = {
    "BTC-USD": Decimal(42000),
    "ETH-USD": Decimal(2500),
    "SOL-USD": Decimal(95),
}


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
    )
    source: tuple[str, ...] = _setting(
        ("simulated",),
        read.sources,
        "where prices come from, most preferred first",
        show=_show_words,
    )
    symbols: Mapping[str, Decimal | None] = _setting(
        _DEFAULT_SYMBOLS,
        read.symbols,
        "the symbols; =price seeds the simulation",
        show=read.show_symbols,
    )
    tick: float = _setting(0.01, read.duration, "the broadcast interval", show=read.show_duration)
    token_key: tuple[bytes, ...] = _setting(
        (),
        read.secrets,
        "HMAC keys of tokens: the first signs, all verify; empty: made once in the data directory",
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
        False, read.flag, "serve beyond this machine with the demo key or a made-up token key"
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
    log_format: str = _setting(
        "auto",
        read.choice("auto", "console", "json"),
        "one event a line; auto is console on a terminal, else json",
    )
    policies: PolicySet = attrs.field(factory=PolicySet.default)
    named: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """The settings that somebody chose, as opposed to left at their default."""

    @property
    def database(self) -> str:
        """The database's address with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'auth.db'}"

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
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@attrs.frozen
class Origin:
    """Where one setting's value came from, and how to show it."""

    name: str
    shown: str
    where: str
    meaning: str


@attrs.frozen
class Loaded:
    """Settings, and where each came from."""

    settings: Settings
    origins: tuple[Origin, ...]


def _fields() -> dict[str, Any]:
    return {field.name: field for field in attrs.fields(Settings) if "reader" in field.metadata}


def _read_file(path: Path | None, faults: list[str]) -> dict[str, Any]:
    """Read the TOML file's own keys, or those of its `[ticker]` table where it has one."""
    try:
        content = tomllib.loads((path or DEFAULT_FILE).read_text("utf-8"))
    except FileNotFoundError:
        if path is not None:
            faults.append(f"{path}: no such settings file")
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{path or DEFAULT_FILE}: cannot be read as TOML: {error}")
        return {}
    table = content.get("ticker", content)
    if not isinstance(table, dict):
        faults.append(f"{path or DEFAULT_FILE}: [ticker] must be a table")
        return {}
    return table


def load(
    *,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    options: Mapping[str, object] | None = None,
) -> Loaded:
    """Read the settings from a file, the environment and command-line options.

    Args:
        config: the TOML file; without it `TICKER_CONFIG`, then `./ticker.toml` where it exists.
        environ: the environment; every `TICKER_*` in it must be a setting.
        options: values from the command line by setting name; None means not given.

    Raises:
        SettingsError: with one line for every fault found.
    """
    fields = _fields()
    faults: list[str] = []
    if config is None and environ.get(FILE_VARIABLE):
        config = Path(environ[FILE_VARIABLE])
    file = _read_file(config, faults)
    tables = {name: file.pop(name, {}) for name in ("policies", "roles")}
    place = str(config or DEFAULT_FILE)
    layers: list[tuple[str, dict[str, object]]] = [
        (place, file),
        (
            "environment",
            {
                name.removeprefix(PREFIX).lower(): value
                for name, value in environ.items()
                if name.startswith(PREFIX) and name not in {FILE_VARIABLE, "TICKER_API_KEY"}
            },
        ),
        (
            "command line",
            {name: value for name, value in (options or {}).items() if value is not None},
        ),
    ]
    chosen: dict[str, Any] = {}
    where: dict[str, str] = {}
    for layer, values in layers:
        for name, raw in values.items():
            label = f"{PREFIX}{name.upper()}" if layer == "environment" else f"{layer}: {name}"
            if name not in fields:
                faults.append(f"{label}: there is no such setting; `ticker config` lists them")
                continue
            meta = fields[name].metadata
            try:
                chosen[name] = meta["reader"](raw)
            except ValueError as error:
                shown = MASK if meta["secret"] else repr(raw)
                faults.append(f"{label}={shown}: {error}")
            where[name] = label if layer == "environment" else layer
    faults += _cross_check(chosen)
    try:
        policies = PolicySet.from_tables(tables["policies"], tables["roles"])
    except PolicyError as error:
        faults += [f"{place}: {line}" for line in error.faults]
        policies = PolicySet.default()
    if faults:
        raise SettingsError(faults)
    settings = Settings(**chosen, policies=policies, named=frozenset(chosen))
    return Loaded(settings, tuple(_origins(settings, fields, where)))


def _cross_check(chosen: Mapping[str, Any]) -> list[str]:
    """Find values that are right alone and wrong together."""
    faults = []
    if chosen.get("restart_factor", 2.0) < 1:
        faults.append("restart_factor: expected 1 or more")
    if chosen.get("restart_jitter", 0.1) > 1:
        faults.append("restart_jitter: expected at most 1")
    if not chosen.get("symbols", True):
        faults.append("symbols: expected at least one symbol")
    if not 0.001 <= chosen.get("tick", 0.01) <= 60:  # noqa: PLR2004 - a millisecond to a minute
        faults.append("tick: expected between 1ms and 60s")
    return faults


def _origins(
    settings: Settings, fields: Mapping[str, Any], where: Mapping[str, str]
) -> list[Origin]:
    result = []
    for name, field in fields.items():
        value, meta = getattr(settings, name), field.metadata
        if meta["secret"]:
            shown = MASK if value else ""
        elif name == "database_url":
            shown = meta["show"](settings.database)
        else:
            shown = meta["show"](value)
        result.append(Origin(name, shown, where.get(name, "default"), meta["meaning"]))
    return result
