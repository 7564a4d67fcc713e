"""What every answer has in common: JSON, errors, who is asking, and by which token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

from quart import Response, current_app, request

from ticker import limits
from ticker.addresses import UNKNOWN
from ticker.http.authenticate import authenticate
from ticker.http.bearer import token_within_limit
from ticker.http.forwarded import client_address
from ticker.http.head import Head
from ticker.http.refusal import Refusal, RefusedError
from ticker.protocol.decimals import encode_json
from ticker.security.authority import Grant
from ticker.service import Service
from ticker.web.answer_cache import costly
from ticker.web.negotiation import Gzip, gzip_wanted, has_tag

#: Where the application keeps its running service, in Quart's `extensions`.
EXTENSION: Final = "ticker"

_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def running() -> Service:
    """Return the service that this request belongs to."""
    return cast("Service", current_app.extensions[EXTENSION])


def encoded(content: Any) -> bytes:
    """Encode the content of a JSON answer."""
    return encode_json(content)


def encoded_answer(body: bytes, status: int = 200) -> Response:
    """Make a JSON answer that no cache keeps, of content that is encoded already."""
    response = Response(body, status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


async def costly_answer(
    key: Hashable, make: Callable[[], bytes] | Callable[[], Awaitable[bytes]]
) -> Response:
    """Answer with JSON that is dear to make, which a client may keep if it asks each time.

    Who has the answer already hears that, and nothing else (RFC 9110 §13.1.2); who takes it
    compressed gets it so, made once for all.

    Args:
        key: all that the answer depends on; see `AnswerCache.get`.
        make: makes its body.
    """
    had = request.headers.getlist("If-None-Match")
    found = await costly(key, make, partial(has_tag, had))
    response = encoded_answer(b"")
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    # Weak, since it is the same for the compressed form.
    response.headers["ETag"] = f'W/"{found.tag}"'
    if has_tag(had, found.tag):
        response.status_code = HTTPStatus.NOT_MODIFIED
        del response.headers["Content-Type"], response.headers["Content-Length"]
        return response
    body = found.body
    gzip = gzip_wanted(request.headers.getlist("Accept-Encoding"))
    if gzip is Gzip.ALWAYS or (gzip is Gzip.YES and len(body) >= limits.ANSWER_GZIP_BYTES):
        response.headers["Content-Encoding"] = "gzip"
        body = await found.gzipped()
    response.set_data(body)
    return response


def answer(content: Any, status: int = 200) -> Response:
    """Make a JSON answer that no cache keeps."""
    return encoded_answer(encoded(content), status)


def error(status: int, text: str, **headers: str) -> Response:
    """Make an error in the one shape they all have; header names with `_` for `-`.

    What passes by itself says when to try again (RFC 9110 §10.2.3).
    """
    response = answer({"error": text}, status)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    if status in _PASSING:
        response.headers.setdefault("Retry-After", str(limits.RETRY_AFTER_SECONDS))
    return response


def refuse(refusal: Refusal) -> Response:
    """Make the answer to a request that is refused."""
    response = error(refusal.status, refusal.error)
    response.headers.update(refusal.headers)
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
    """Return what the request's token allows, or the answer that refuses it (RFC 6750 §3).

    A bad token counts as a refused handshake does, and beyond that limit only a token that is
    known to be good is looked at.
    """
    service = running()
    client = address()
    try:
        token = token_within_limit(
            request_head(),
            ("header",),
            wait=service.refusals.wait(client),
            known=service.authority.knows,
        )
        return await authenticate(service.authority, token)
    except RefusedError as refused:
        service.refusals.request(refused.refusal, client)
        return refuse(refused.refusal)
