"""The client that people import: `connect`, the messages, the errors.

Rules for the package: it needs nothing of the server but its limits and close codes; it logs
nothing, since it runs inside other people's programs: what happens is raised, or seen in
`client.state` and `client.statistics()`.
"""

from __future__ import annotations

from ticker.client.client import Client
from ticker.client.entry import connect
from ticker.client.errors import (
    AuthenticationError,
    ForbiddenError,
    ProtocolError,
    RequestError,
    TickerError,
    UnreachableError,
    UntrustedServerError,
)
from ticker.client.messages import (
    Authenticated,
    Closing,
    Disconnected,
    Epoch,
    Error,
    Message,
    Pong,
    Reconnected,
    Status,
    Subscribed,
    Ticker,
    Unsubscribed,
    Welcome,
)
from ticker.client.price import Price
from ticker.client.requests import Resume
from ticker.client.statistics import ClientStatistics, State

__all__ = [
    "Authenticated",
    "AuthenticationError",
    "Client",
    "ClientStatistics",
    "Closing",
    "Disconnected",
    "Epoch",
    "Error",
    "ForbiddenError",
    "Message",
    "Pong",
    "Price",
    "ProtocolError",
    "Reconnected",
    "RequestError",
    "Resume",
    "State",
    "Status",
    "Subscribed",
    "Ticker",
    "TickerError",
    "UnreachableError",
    "Unsubscribed",
    "UntrustedServerError",
    "Welcome",
    "connect",
]
