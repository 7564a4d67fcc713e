"""A stand-in for the exchanges, for tests without the internet.

`StandIn` speaks one exchange's protocol, by its `Manners`, over any stream: in memory for
tests in virtual time (`in_memory`), over TLS on loopback for tests of the
real thing (`served_over_tls`, or `in_a_thread` for tests that block).
It does what the exchange's documentation says until a test tells it to misbehave.
"""

from __future__ import annotations

from tests.exchange_standin.binance import BINANCE, BINANCE_US, Binance
from tests.exchange_standin.bitstamp import BITSTAMP
from tests.exchange_standin.coinbase import COINBASE
from tests.exchange_standin.kraken import KRAKEN
from tests.exchange_standin.manners import Manners, Market
from tests.exchange_standin.okx import OKX
from tests.exchange_standin.serving import (
    ConnectProxy,
    DistantExchange,
    TlsExchange,
    in_a_thread,
    in_memory,
    served_over_tls,
)
from tests.exchange_standin.standin import StandIn

#: The manners of every exchange there is.
EVERY = (COINBASE, KRAKEN, BINANCE, BINANCE_US, BITSTAMP, OKX)

__all__ = [
    "BINANCE",
    "BINANCE_US",
    "BITSTAMP",
    "COINBASE",
    "EVERY",
    "KRAKEN",
    "OKX",
    "Binance",
    "ConnectProxy",
    "DistantExchange",
    "Manners",
    "Market",
    "StandIn",
    "TlsExchange",
    "in_a_thread",
    "in_memory",
    "served_over_tls",
]
