"""What a role may do with the symbols of one market."""

from __future__ import annotations

from collections.abc import Sequence

from ticker.security.policy import Action, Limits, PolicySet


class Access:
    """The policies, applied to the symbols of a market.

    Neither changes while the service runs, so each answer is worked out once: the table is
    bounded by the roles and the actions.
    """

    def __init__(self, policies: PolicySet, symbols: Sequence[str]) -> None:
        self._policies = policies
        self._symbols = tuple(symbols)
        self._allowed: dict[tuple[str, Action], tuple[str, ...]] = {}
        self._public: tuple[str, ...] | None = None

    def allowed(self, role: str, action: Action) -> tuple[str, ...]:
        """Return the symbols of the market on which a role may do something."""
        known = self._allowed.get((role, action))
        if known is None:
            known = self._policies.allowed(role, action, self._symbols)
            self._allowed[role, action] = known
        return known

    @property
    def public(self) -> tuple[str, ...]:
        """The symbols that no role is kept from: each may subscribe to them or read them."""
        if self._public is None:
            seen = [
                {*self.allowed(role, "subscribe"), *self.allowed(role, "read")}
                for role in self._policies.roles
            ]
            known = set(self._symbols).intersection(*seen)
            self._public = tuple(symbol for symbol in self._symbols if symbol in known)
        return self._public

    def limits(self, role: str) -> Limits:
        """Return what bounds a role's streams."""
        return self._policies.limits(role)
