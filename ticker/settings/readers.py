"""How each kind of setting is read from text or TOML, and shown again.

Rules for this module: pure functions. A reader takes what a TOML file, an environment
variable or a command line gave, returns the value, and raises `ValueError` with half a
sentence that says what was expected. It never repeats the value: the caller does,
unless the setting is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

import attrs

from ticker import limits
from ticker.market.quote import SYMBOL
from ticker.market.sources.spec import SourceSpec, parse_spec
from ticker.rate_limit import Rate

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)
_PERIODS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_RATE: Final = re.compile(r"(\d{1,9})\s*/\s*(second|minute|hour)", re.ASCII)
_PORTS: Final = range(65536)


def text(raw: object) -> str:
    """Read a string that is not blank."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("expected some text")
    return raw.strip()


def whole(raw: object) -> int:
    """Read a whole number of 0 or more."""
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}", raw.strip(), re.ASCII):
        return int(raw)
    raise ValueError("expected a whole number, 0 or more")


def workers(raw: object) -> int:
    """Read a number of processes, from 1 to `limits.WORKERS_MOST`."""
    value = whole(raw)
    if not 1 <= value <= limits.WORKERS_MOST:
        raise ValueError(f"expected 1 to {limits.WORKERS_MOST}")
    return value


def number(raw: object) -> float:
    """Read a finite number of 0 or more."""
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 <= raw < float("inf"):
        return float(raw)
    if isinstance(raw, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw.strip(), re.ASCII):
        return float(raw)
    raise ValueError("expected a number, 0 or more, as in 0.1")


def flag(raw: object) -> bool:
    """Read a yes or no."""
    if isinstance(raw, bool):
        return raw
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("expected true or false")


def port(raw: object) -> int:
    """Read a TCP port; 0 lets the system choose one."""
    try:
        value = whole(raw)
    except ValueError:
        value = -1
    if value not in _PORTS:
        raise ValueError("expected a port, 0 to 65535")
    return value


def duration(raw: object) -> float:
    """Read a length of time above zero as seconds, from `10ms`, `3s`, `1h` or `90d`."""
    match = _DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError("expected a length of time above zero with its unit, as in 10ms, 3s or 1h")
    return seconds


def show_duration(seconds: float) -> str:
    """Write seconds the way `duration` reads them, in the largest unit that is exact."""
    milliseconds = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{seconds * 1000:.6f}".rstrip("0").rstrip(".") + "ms"


def rate(raw: object) -> Rate:
    """Read `30/minute`; `0` alone lifts the limit."""
    if raw == 0 or (isinstance(raw, str) and raw.strip() == "0"):
        return Rate(0, 60.0)
    match = _RATE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None:
        raise ValueError("expected a rate, as in 30/minute, or 0 for none")
    return Rate(int(match[1]), _PERIODS[match[2]])


def show_rate(value: Rate) -> str:
    """Write a rate the way `rate` reads it."""
    if value.count == 0:
        return "0"
    period = next(name for name, seconds in _PERIODS.items() if seconds == value.seconds)
    return f"{value.count}/{period}"


def words(raw: object) -> tuple[str, ...]:
    """Read a comma-separated list, or a TOML array, of words; no word twice, none empty."""
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a comma-separated list")
    result = tuple(part.strip() for part in parts)
    if not all(result) or len(set(result)) != len(result):
        raise ValueError("expected a comma-separated list with no entry empty or twice")
    return result


def sources(raw: object) -> tuple[SourceSpec, ...]:
    """Read the sources in order of preference, as in `coinbase,kraken[BTC-USD ETH-USD]`.

    A replay stands alone in a text: its file's name may hold commas.
    """
    if isinstance(raw, str):
        alone = raw.strip().startswith("replay:")
        raw = [raw] if alone else re.split(r",(?![^\[\]]*\])", raw)
    specs = tuple(parse_spec(entry) for entry in words(raw))
    if len({spec.source for spec in specs}) != len(specs):
        raise ValueError("expected each source once")
    return specs


def show_sources(value: Iterable[SourceSpec]) -> str:
    """Write sources the way `sources` reads them."""
    return ",".join(map(str, value))


def symbols(raw: object) -> dict[str, Decimal | None]:
    """Read `BTC-USD=42000,ETH-USD`: symbols in order, each with a start price or None."""
    if isinstance(raw, Mapping):
        entries: list[tuple[str, str | None]] = [(str(k), str(v)) for k, v in raw.items()]
    else:
        entries = [
            (name.strip(), value.strip() if equals else None)
            for name, equals, value in (word.partition("=") for word in words(raw))
        ]
    result: dict[str, Decimal | None] = {}
    for name, value in entries:
        if not SYMBOL.fullmatch(name):
            raise ValueError(
                "expected symbols like BTC-USD, in capitals, each with an optional =price"
            )
        if name in result:
            raise ValueError(f"expected each symbol once, {name} is there twice")
        result[name] = None if value is None else _price(value)
    return result


def _price(raw: str) -> Decimal:
    try:
        value = Decimal(raw)
    except InvalidOperation:
        value = Decimal(0)
    exponent = limits.PRICE_EXPONENT
    lowest, highest = Decimal(1).scaleb(-exponent), Decimal(1).scaleb(exponent)
    if not value.is_finite() or not lowest <= value <= highest:
        raise ValueError(f"expected a price from 1e-{exponent} to 1e{exponent} after =")
    return value


def show_symbols(value: Mapping[str, Decimal | None]) -> str:
    """Write symbols the way `symbols` reads them."""
    return ",".join(name if price is None else f"{name}={price:f}" for name, price in value.items())


def choice(*allowed: str) -> ChoiceReader:
    """Make a reader that takes one of the words given."""
    return ChoiceReader(allowed)


@attrs.frozen
class ChoiceReader:
    """Reads one word out of a fixed list."""

    allowed: tuple[str, ...]

    def __call__(self, raw: object) -> str:
        """Return the word, or raise ValueError that lists what would have been right."""
        word = "off" if raw is False else raw  # TOML reads a bare `off` as nothing, `false` as this
        if word not in self.allowed:
            raise ValueError(f"expected one of {', '.join(self.allowed)}")
        return str(word)


TokenPlace = Literal["header", "subprotocol", "query", "cookie"]
_TOKEN_PLACES: Final[tuple[TokenPlace, ...]] = ("header", "subprotocol", "query", "cookie")


def token_places(raw: object) -> tuple[TokenPlace, ...]:
    """Read where a handshake may carry its token."""
    listed = words(raw)
    unknown = set(listed) - set(_TOKEN_PLACES)
    if unknown:
        raise ValueError(f"expected some of {', '.join(_TOKEN_PLACES)}")
    return tuple(place for place in _TOKEN_PLACES if place in listed)


def secrets(raw: object) -> tuple[bytes, ...]:
    """Read HMAC keys, comma-separated: the first signs, all verify."""
    listed = words(raw)
    if len(listed) > limits.TOKEN_KEYS:
        raise ValueError(f"expected at most {limits.TOKEN_KEYS} keys")
    return tuple(word.encode() for word in listed)


def pepper(raw: object) -> bytes:
    """Read the secret that API keys are hashed with.

    One of 64 hexadecimal digits is what a file `key-pepper` holds, and means the same bytes.
    """
    word = text(raw)
    return bytes.fromhex(word) if re.fullmatch(r"[0-9a-f]{64}", word) else word.encode()


def show_words(value: Iterable[str]) -> str:
    """Write words as they are read."""
    return ",".join(value)
