"""A stand-in for the exchanges, for tests without the internet.

`StandIn` speaks one exchange's protocol, by its `Manners`, over any stream: in memory for
tests in virtual time, over TLS on loopback for tests of the
real thing (`served_over_tls`, or `in_a_thread` for tests that block).
It does what the exchange's documentation says until a test tells it to misbehave.
"""

from __future__ import annotations

from tests.exchange_standin.manners import BINANCE, COINBASE, KRAKEN, Manners
from tests.exchange_standin.serving import (
    DistantExchange,
    TlsExchange,
    in_a_thread,
    in_memory,
    served_over_tls,
)
from tests.exchange_standin.standin import StandIn

__all__ = [
    "BINANCE",
    "COINBASE",
    "KRAKEN",
    "DistantExchange",
    "Manners",
    "StandIn",
    "TlsExchange",
    "in_a_thread",
    "in_memory",
    "served_over_tls",
]
