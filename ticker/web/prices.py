"""`GET /prices`: the newest quotes, for those who may read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quart import Blueprint, Response

from ticker.market.quote import Quote
from ticker.protocol.details import FULL_FIELDS
from ticker.security.authority import Grant
from ticker.web.responses import answer, bearer, costly_answer, encoded, error, running

blueprint = Blueprint("prices", __name__)


@blueprint.get("/prices")
async def latest() -> Response:
    """Answer the newest quote of every symbol that the actor may read."""
    grant = await bearer()
    if isinstance(grant, Response):
        return grant
    market = running().market
    published = market.hub.published
    allowed = running().access.allowed(grant.role, "read")
    if not allowed:
        return error(403, "forbidden")

    def body() -> bytes:
        quotes = (published.in_full(symbol) for symbol in allowed)
        stale = market.stale()
        data = [_shown(quote, stale) for quote in quotes if quote is not None]
        return encoded(
            {
                "data": data,
                "epoch": published.epoch,
                "seq": published.seq,
                "time": market.wall_ms(),
            }
        )

    return await costly_answer(("prices", grant.role), body)


@blueprint.get("/prices/<symbol>")
async def one(symbol: str) -> Response:
    """Answer the newest quote of one symbol."""
    refusal = await refused(symbol)
    if refusal is not None:
        return refusal
    market = running().market
    quote = market.hub.published.in_full(symbol)
    if quote is None:
        return error(503, "no price yet")
    return answer(_shown(quote, market.stale()))


async def refused(symbol: str) -> Response | None:
    """Return the answer to an actor that may not read a symbol; None if it may."""
    grant: Grant | Response = await bearer()
    if isinstance(grant, Response):
        return grant
    if symbol not in running().market.book:
        return error(404, "unknown symbol")
    if symbol not in running().access.allowed(grant.role, "read"):
        return error(403, "forbidden")
    return None


def _shown(quote: Quote, stale: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "symbol": quote.symbol,
        "price": quote.price,
        "timestamp": quote.time_ms // 1000,
        "time": quote.time_ms,
        "received": quote.received_ms,
        "source": quote.source,
    }
    for name in FULL_FIELDS:
        value = getattr(quote, name)
        if value is not None:
            shown[name] = value
    if quote.counted:
        shown["counted"] = quote.counted
        shown["left_out"] = quote.left_out
    if quote.symbol in stale:
        shown["stale"] = True
        shown["reason"] = stale[quote.symbol]
    return shown
