"""Addresses of clients: one reading of every spelling, and the name that limits count them under.

Rules for this module: pure. What a socket, a setting or a header says goes in as text.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: What stands for a peer without an address, as over a Unix socket.
UNKNOWN: Final = "unknown"
#: One customer's share of IPv6: limits count by network, or they would count nothing (RFC 6177).
_IPV6_PREFIX: Final = 64
#: A port, or what may stand for one (RFC 7239 §6.2).
_PORT: Final = r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
_IPV6: Final = re.compile(rf"\[([^\[\]]+)\]{_PORT}")
_IPV4: Final = re.compile(rf"([0-9.]+){_PORT}")
#: The interface of a link-local address (RFC 4007 §11).
_ZONE: Final = re.compile(r"[0-9A-Za-z._~-]{1,32}")
#: Where the last 32 bits are an IPv4 address that was translated (RFC 6052 §2.1).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """Read one address, with or without a port; None where there is none.

    `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80` and
    `fe80::1%eth0` are addresses. An IPv4 address mapped into IPv6 is read as IPv4, as which the
    client connected (RFC 4291 §2.5.5.2).
    """
    text = text.strip()
    bracketed = _IPV6.fullmatch(text)
    plain = None if bracketed else _IPV4.fullmatch(text)
    match = bracketed or plain
    bare, percent, zone = (match[1] if match else text).partition("%")
    if percent and not _ZONE.fullmatch(zone):
        return None
    try:
        if plain:
            return ipaddress.IPv4Address(bare)
        parsed = ipaddress.IPv6Address(bare)
        return parsed.ipv4_mapped or ipaddress.IPv6Address(bare + percent + zone)
    except ValueError:
        return None


def canonical(text: str) -> str:
    """Return an address in its one spelling, without a port; any other text as it is."""
    parsed = parse_address(text)
    return text if parsed is None else str(parsed)


@lru_cache(maxsize=1024)
def limit_key(address: str) -> str:
    """Return the name under which limits count an address.

    IPv6 counts by its network of 64 bits. An IPv6 address that stands for an IPv4 one (mapped,
    6to4, NAT64) counts as that: one owner of IPv4 has 65,536 networks of 6to4 (RFC 3056), and all
    of IPv4 is in one network of NAT64.
    """
    parsed = parse_address(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.sixtofour is not None:
        return str(parsed.sixtofour)
    number = int(parsed)
    if ipaddress.IPv6Address(number) in _NAT64:
        return str(ipaddress.IPv4Address(number & 0xFFFF_FFFF))
    return str(ipaddress.IPv6Network((number, _IPV6_PREFIX), strict=False))


def is_loopback(host: str) -> bool:
    """Say whether a host, an address or a name, can be reached from this machine alone."""
    parsed = parse_address(host)
    if parsed is None:
        return host.lower() == "localhost"
    return parsed.is_loopback
