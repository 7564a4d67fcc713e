"""Who is asking: a client's address, also behind proxies.

Rules for this module: pure; what the socket and the headers said goes in, an address comes out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

#: What stands for a peer without an address, as over a Unix socket.
UNKNOWN: Final = "unknown"
#: One customer's share of IPv6: limits count by network, or they would count nothing (RFC 6177).
_IPV6_PREFIX: Final = 64


def client_address(peer: str, forwarded: Sequence[str], trusted_hops: int) -> str:
    """Return the address of the client.

    Args:
        peer: the address at the other end of the socket.
        forwarded: the values of `X-Forwarded-For`, in order.
        trusted_hops: how many of the proxies nearest to us are ours. Each added the address
            it saw at the end of the list; what stands further left anybody may have made up.

    Returns:
        The address; the peer's own where the list is shorter than it should be, or no address.
    """
    if trusted_hops == 0:
        return peer
    hops = [entry.strip() for value in forwarded for entry in value.split(",")]
    if len(hops) < trusted_hops:
        return peer
    try:
        return str(ipaddress.ip_address(hops[-trusted_hops]))
    except ValueError:
        return peer


def is_loopback(host: str) -> bool:
    """Say whether a host, an address or a name, is this machine to itself and to none else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=1024)
def limit_key(address: str) -> str:
    """Return the name under which limits count an address: IPv6 by its network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
