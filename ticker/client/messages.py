"""The messages of the stream as typed values, and their decoding.

Rules for this module: values only, no I/O. What a newer server may add must never break
an older client: unknown fields are ignored, an unknown message type decodes to None. What
another server may leave out has a default, and a known field encodes again as it was sent.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from ticker.client.price import Price

#: A request's `id` comes back in its answer.
Id = int | str | None
#: Milliseconds that are computed with, so within what arithmetic is good for.
Milliseconds = (
    Annotated[int, msgspec.Meta(ge=1, le=10**12)]
    | Annotated[float, msgspec.Meta(ge=0.001, le=1e12)]
)


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome", omit_defaults=True):
    """The first message of every connection, so also the sign of a reconnect.

    What the server did not tell is None.

    Attributes:
        user_id: whose key it is, as in `user:demo`.
        role: the key's.
        symbols: what this user may subscribe to.
        tick_ms: the market's own pace in milliseconds.
        expires_in: how many seconds the token is good for.
        time: the server's, in milliseconds since the epoch.
        version: the server's.
        epoch: which run of the market it is; only within one can two `seq` be compared.
        seq: the market's last tick.
    """

    user_id: str
    role: str | None = None
    symbols: tuple[str, ...] = ()
    tick_ms: Milliseconds | None = None
    expires_in: int | float | None = None
    time: int | None = None
    version: str | None = None
    epoch: str | None = None
    seq: int | None = None


class Ticker(msgspec.Struct, frozen=True, kw_only=True, tag="ticker", omit_defaults=True):
    """Prices: of every symbol of the subscription, or of those that changed after `prev`.

    Attributes:
        data: one record for each symbol.
        seq: the market's tick; it grows by one each tick, and a jump shows ticks not seen.
        time: when the server made this message, in milliseconds since the epoch.
        snapshot: True for the first after a connect, a subscribe or a stall; it replaces all
            that came before.
        prev: in the modes `changes` and `every`, the tick since which `data` holds what has
            changed; None where it holds everything.
    """

    data: tuple[Price, ...]
    seq: int
    time: int
    snapshot: bool = False
    prev: int | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True, tag="status", omit_defaults=True):
    """Whether prices flow.

    Attributes:
        state: `live` or `stale`; a stale source's prices do not move until it is live again.
        source: which one; prices of other sources are not concerned.
        since: when prices stopped, or came back, in milliseconds since the epoch.
        symbols: those that are stale, where not all of the source are. Each status of a source
            replaces the one before.
        reason: why, for people; empty where there is no more to say.
        reasons: for each of `symbols` why, where the server says it.
    """

    state: str
    source: str | None = None
    since: int | None = None
    symbols: tuple[str, ...] = ()
    reason: str = ""
    reasons: dict[str, str] = {}


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, tag="subscribed", omit_defaults=True):
    """The subscription now in force.

    Attributes:
        symbols: those subscribed to.
        interval_ms: the pace of prices in milliseconds.
        mode: `latest`, `changes` or `every`.
        detail: `price` or `full`.
        epoch: which run of the market it is.
        seq: the market's last tick.
        resumed: whether nothing is missing since the frame that was asked for; None where
            nothing was asked.
    """

    id: Id = None
    symbols: tuple[str, ...]
    interval_ms: Milliseconds | None = None
    mode: str | None = None
    detail: str | None = None
    epoch: str | None = None
    seq: int | None = None
    resumed: bool | None = None


class Epoch(msgspec.Struct, frozen=True, kw_only=True, tag="epoch"):
    """The market is run anew, as by another server of it: `seq` is of this epoch from here on.

    Where something may be missing, the next `Ticker` is a snapshot.
    """

    epoch: str


class Unsubscribed(
    msgspec.Struct, frozen=True, kw_only=True, tag="unsubscribed", omit_defaults=True
):
    """No subscription is in force."""

    id: Id = None


class Authenticated(
    msgspec.Struct, frozen=True, kw_only=True, tag="authenticated", omit_defaults=True
):
    """The stream may go on for `expires_in` seconds: the client renewed its token."""

    id: Id = None
    expires_in: int | float


class Error(msgspec.Struct, frozen=True, kw_only=True, tag="error", omit_defaults=True):
    """A request was refused; the stream goes on."""

    id: Id = None
    code: str
    message: str = ""


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong", omit_defaults=True):
    """The answer to a ping."""

    id: Id = None


class Closing(msgspec.Struct, frozen=True, kw_only=True, tag="closing"):
    """The server is about to close; the client comes back after `retry_after_ms`."""

    code: int
    retry_after_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class Disconnected(
    msgspec.Struct, frozen=True, kw_only=True, tag="disconnected", omit_defaults=True
):
    """The stream was lost, and the client connects again by itself; it is not of the server.

    Until `Reconnected` comes, prices known so far are old.

    Attributes:
        reason: why, for people.
        retry_in: seconds until the next attempt.
    """

    reason: str
    retry_in: float


class Reconnected(msgspec.Struct, frozen=True, kw_only=True, tag="reconnected", omit_defaults=True):
    """The stream is back and subscribed as before.

    Attributes:
        resumed: True where the next `Ticker` follows the last one without a gap; else it is a
            snapshot, and what happened in between is not known.
    """

    resumed: bool = False


ServerMessage = (
    Welcome
    | Ticker
    | Status
    | Subscribed
    | Epoch
    | Unsubscribed
    | Authenticated
    | Error
    | Pong
    | Closing
)
#: What a client yields.
Message = ServerMessage | Disconnected | Reconnected
#: What answers a request.
Answer = Subscribed | Unsubscribed | Authenticated | Error | Pong


class MalformedMessageError(ValueError):
    """The text is no message of the protocol."""


class _Envelope(msgspec.Struct):
    type: str


_KNOWN: Final = frozenset(
    {
        "welcome",
        "ticker",
        "status",
        "subscribed",
        "epoch",
        "unsubscribed",
        "authenticated",
        "error",
        "pong",
        "closing",
    }
)
_messages: Final[msgspec.json.Decoder[ServerMessage]] = msgspec.json.Decoder(ServerMessage)
_envelopes: Final = msgspec.json.Decoder(_Envelope)


def decode(text: str | bytes) -> ServerMessage | None:
    """Decode one message, or None where its type is not known here.

    Raises:
        MalformedMessageError: no JSON object with a type, or a known type with wrong fields.
    """
    try:
        return _messages.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        fault = error
    try:
        kind = _envelopes.decode(text).type
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise MalformedMessageError(f"not a message: {fault}") from None
    if kind in _KNOWN:
        raise MalformedMessageError(f"a wrong {kind!r} message: {fault}")
    return None
