"""The address of a bus, as in `TICKER_BUS`.

Rules for this module: pure, and light to import: the settings ask it for every command.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final
from urllib.parse import unquote

import attrs

#: https://github.com/redis/redis-specifications/blob/master/uri/redis.txt, and the like with
#: Sentinels in the place of the server.
_URL: Final = re.compile(
    r"(?P<scheme>rediss?|rediss?\+sentinel)://"
    r"(?:(?P<user>[^\s:@/]*)(?::(?P<password>[^\s@]*))?@)?"
    r"(?P<hosts>[^\s/?#@]+)(?:/(?P<path>[^\s/?#]*))?",
    re.ASCII,
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII)
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MOST_PORT: Final = 65535
_MARKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@attrs.frozen
class BusAddress:
    """Where the bus is, and how to sign in there.

    Attributes:
        hosts: names and ports: of the server, or of the Sentinels that know it.
        service: what the Sentinels call the server; None without Sentinels.
        database: the number of the database in the server.
        tls: whether connections are encrypted.
        username: for Redis' ACL.
        password: for that, or alone.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str | None = None
    database: int = 0
    tls: bool = False
    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)


def parse_bus(url: str) -> BusAddress:
    """Read `redis://`, `rediss://`, `redis+sentinel://HOST,HOST/SERVICE` or `rediss+sentinel://`.

    Raises:
        ValueError: it is none; the text says what was expected, and repeats nothing of it.
    """
    match = _URL.fullmatch(url)
    hosts = match["hosts"].split(",") if match else []
    found = [_HOST.fullmatch(host) for host in hosts]
    if match is None or not all(found):
        raise ValueError(
            "expected an address as in redis://host:6379, rediss://user:password@host:6379/0 or "
            "redis+sentinel://host:26379,host:26379/service"
        )
    sentinels = match["scheme"].endswith("+sentinel")
    if not sentinels and len(hosts) > 1:
        raise ValueError("expected one host; several are Sentinels, as in redis+sentinel://a,b/x")
    default_port = _SENTINEL_PORT if sentinels else _REDIS_PORT
    places = tuple((each[1].strip("[]"), int(each[2] or default_port)) for each in found if each)
    if not all(0 < port <= _MOST_PORT for _, port in places):
        raise ValueError("expected a port, 1 to 65535")
    path = match["path"] or ""
    if sentinels and not path:
        raise ValueError("expected the name of the service, as in redis+sentinel://host/service")
    if not sentinels and path and not path.isdecimal():
        raise ValueError("expected the number of a database after the host, as in redis://host/0")
    return BusAddress(
        hosts=places,
        service=path if sentinels else None,
        database=0 if sentinels else int(path or 0),
        tls=match["scheme"].startswith("rediss"),
        username=unquote(match["user"] or "") or None,
        password=unquote(match["password"] or "") or None,
    )


def bus_url(raw: object) -> str:
    """Read the address of a bus; ValueError says what was expected."""
    if not isinstance(raw, str):
        raise ValueError("expected some text")  # noqa: TRY004 - what a reader raises
    parse_bus(raw.strip())
    if find_spec("coredis") is None:
        raise ValueError("a bus needs a client of Redis: pip install 'ticker[redis]'")
    return raw.strip()


def market_name(raw: object) -> str:
    """Read the name of a market on the bus; ValueError says what was expected."""
    if not isinstance(raw, str) or not _MARKET.fullmatch(raw.strip()):
        raise ValueError("expected a name of at most 64 letters, digits and . _ -")
    return raw.strip()
