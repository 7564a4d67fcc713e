"""What every answer has in common: JSON, errors, who is asking, and by which token."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from quart import Response, current_app, request

from ticker.addresses import UNKNOWN, client_address
from ticker.security.authority import DatabaseUnavailableError, Grant, InvalidTokenError
from ticker.service import Service

#: Where the application keeps its running service, in Quart's `extensions`.
EXTENSION: Final = "ticker"

# Prices leave as JSON numbers with every digit they came with.
_encoder = msgspec.json.Encoder(decimal_format="number")


def running() -> Service:
    """Return the service that this request belongs to."""
    return cast("Service", current_app.extensions[EXTENSION])


def answer(content: Any, status: int = 200) -> Response:
    """Make a JSON answer that nobody keeps."""
    response = Response(_encoder.encode(content), status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def error(status: int, text: str, **headers: str) -> Response:
    """Make an error in the one shape they all have; header names with `_` for `-`."""
    response = answer({"error": text}, status)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def address() -> str:
    """Return the address of the client that sends this request."""
    hops = running().settings.trusted_hops
    peer = (request.remote_addr or UNKNOWN).rpartition(":")
    forwarded = request.headers.getlist("X-Forwarded-For")
    return client_address(peer[0] or peer[2], forwarded, hops)


async def bearer() -> Grant | Response:
    """Return what the request's token allows, or the answer that refuses it (RFC 6750 §3)."""
    values = request.headers.getlist("Authorization")
    scheme, _, token = (values[0] if values else "").partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token.strip():
        return error(401, "authentication required", WWW_Authenticate='Bearer realm="ticker"')
    try:
        return await running().authority.authenticate(token.strip())
    except InvalidTokenError:
        challenge = 'Bearer realm="ticker", error="invalid_token"'
        return error(401, "invalid token", WWW_Authenticate=challenge)
    except DatabaseUnavailableError:
        return error(503, "database unavailable")
