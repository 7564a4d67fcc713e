"""From a token to what it allows, or to the answer that refuses it."""

from __future__ import annotations

from ticker.http.refusal import INVALID_TOKEN, UNAVAILABLE, RefusedError
from ticker.security.authority import (
    Authority,
    DatabaseUnavailableError,
    Grant,
    InvalidTokenError,
)


async def authenticate(authority: Authority, token: str) -> Grant:
    """Return what a token allows.

    Raises:
        RefusedError: it is not good, or the database that knows cannot be asked.
    """
    try:
        return await authority.authenticate(token)
    except InvalidTokenError:
        raise RefusedError(INVALID_TOKEN) from None
    except DatabaseUnavailableError:
        raise RefusedError(UNAVAILABLE) from None
