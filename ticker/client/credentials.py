"""The token of a stream: where it comes from, when it is renewed, when there is no other.

Rules for this module: no I/O of its own, `exchange` is handed in; times are trio's clock in
seconds. No key and no token ever shows in a repr or an error.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import attrs
import trio

from ticker.client.errors import AuthenticationError
from ticker.client.limits import RENEW_AFTER_PART, RENEW_SPREAD_PART


@attrs.frozen
class IssuedToken:
    """A token and how many seconds from now it is good for."""

    value: str = attrs.field(repr=False)
    expires_in: float


@attrs.define
class Credentials:
    """Either an API key, from which tokens are made as needed, or one token as it is.

    Attributes:
        api_key: the key, or None where only a token was given.
        exchange: makes a token of the key.
        token: the one to use now, or None where one must be made first.
    """

    api_key: str | None = attrs.field(repr=False)
    exchange: Callable[[str], Awaitable[IssuedToken]] = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    _renew_at: float = attrs.field(default=float("inf"), init=False)
    _replaced: bool = attrs.field(default=False, init=False)

    async def current(self) -> str:
        """The token to connect with, made anew where there is none or it is due."""
        if self.token is None or trio.current_time() >= self._renew_at:
            return await self.renew()
        return self.token

    async def renew(self) -> str:
        """Make a new token of the key; raises what `exchange` raises."""
        if self.api_key is None:
            raise AssertionError("a token without a key is never due")
        issued = await self.exchange(self.api_key)
        part = RENEW_AFTER_PART + RENEW_SPREAD_PART * random.random()  # noqa: S311 - spreads load, guards nothing
        self._renew_at = trio.current_time() + issued.expires_in * part
        self.token = issued.value
        return issued.value

    async def until_due(self) -> None:
        """Wait until the token should be renewed; for ever where there is no key."""
        await trio.sleep_until(self._renew_at)

    def reject(self, cause: str) -> None:
        """The server did not accept the token: forget it, so that a new one is made.

        Raises:
            AuthenticationError: there is no key to make one of, or the token that was not
                accepted had just been made for the same reason.
        """
        if self.api_key is None:
            raise AuthenticationError(
                f"{cause}; connect with a fresh token, or with an api_key, "
                "of which the client makes new tokens by itself"
            )
        if self._replaced:
            raise AuthenticationError(
                f"{cause}, and a newly issued one fared no better; "
                "ask the server's operator whether its processes share token keys and database"
            )
        self._replaced = True
        self.token = None

    def accepted(self) -> None:
        """The stream has lasted: the next rejection is a new story."""
        self._replaced = False
