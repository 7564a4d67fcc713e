"""`POST /auth/token`: an API key for a token."""

from __future__ import annotations

import json
import math
from typing import NoReturn

import structlog
import trio
from quart import Blueprint, Response, request

from ticker import limits
from ticker.addresses import limit_key
from ticker.protocol.paths import TOKEN_PATH
from ticker.security.authority import DatabaseUnavailableError, InvalidApiKeyError
from ticker.web.responses import address, answer, error, running

log = structlog.get_logger()

blueprint = Blueprint("auth", __name__)


class BadBodyError(Exception):
    """The body is not what it should be; the text is the error to answer."""


@blueprint.post(TOKEN_PATH)
async def token() -> Response:
    """Exchange an API key for a token."""
    client = address()
    wait = running().token_limiter.admit(limit_key(client), trio.current_time())
    if wait:
        retry_after = str(math.ceil(wait))
        return _refused(429, "too many requests", "rate", client, Retry_After=retry_after)
    try:
        api_key = read_api_key(bytes(await request.body))
    except BadBodyError as problem:
        return _refused(400, str(problem), "bad_request", client)
    authority = running().authority
    started = trio.current_time()
    try:
        issued = await authority.exchange(api_key, client)
    except InvalidApiKeyError as refused:
        # Guessing is kept slow, and how long an answer takes says nothing about the key.
        await trio.sleep_until(started + limits.REFUSED_EXCHANGE_SECONDS)
        return _refused(401, "invalid API key", refused.reason, client)
    except DatabaseUnavailableError:
        return _refused(503, "database unavailable", "database", client)
    running().metrics.tokens_issued.inc()
    grant = issued.grant
    return answer(
        {
            "token": issued.token,
            "user_id": grant.user_id,
            "role": grant.role,
            "expires_in": round(grant.expires_at - grant.issued_at),
        }
    )


def _refused(status: int, text: str, reason: str, client: str, **headers: str) -> Response:
    running().metrics.token_request_refused(reason)
    log.info("token_request_refused", reason=reason, address=client)
    return error(status, text, **headers)


def read_api_key(body: bytes) -> str:
    """Read the API key out of a request's body: one JSON object (RFC 8259), UTF-8, no name twice.

    What the body is said to be does not matter, for a page elsewhere is told by its origin.

    Raises:
        BadBodyError: it is not that, or holds no key; the text is the error to answer.
    """
    try:
        content = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant
        )
    except (ValueError, RecursionError):
        raise BadBodyError("invalid JSON") from None
    if not isinstance(content, dict):
        raise BadBodyError("invalid JSON")
    api_key = content.get("api_key")
    if not isinstance(api_key, str) or not api_key:
        raise BadBodyError("api_key required")
    return api_key


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object; a name that comes twice means one thing here and another in a proxy."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name comes twice")
    return result


def _constant(name: str) -> NoReturn:
    """Refuse `NaN` and `Infinity`, which Python takes and JSON does not have."""
    raise ValueError(name)
