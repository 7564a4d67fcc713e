"""What every answer has in common: JSON, errors, who is asking, and by which token."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from quart import Response, current_app, request

from ticker.addresses import UNKNOWN
from ticker.http.forwarded import client_address
from ticker.http.head import Head
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


def request_head() -> Head:
    """Return the head of this request, as Hypercorn took it from the wire."""
    scope = request.scope
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    return Head(
        b"",
        b"",
        request.method,
        target.decode("latin-1"),
        tuple(scope["headers"]),
        scope["http_version"],
    )


def address() -> str:
    """Return the address of the client that sends this request."""
    peer = request.scope["client"]  # host and port; none over a Unix socket
    hops = running().settings.trusted_hops
    return client_address(request_head(), peer[0] if peer else UNKNOWN, hops)


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
