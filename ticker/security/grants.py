"""What a token opens, and the grants that this process knows without asking the database.

Rules for this module: values and bounded memory; no I/O, no clock of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for. Times are seconds since the epoch.

    Attributes:
        token_id: the hashed id of the token, from which the token does not follow.
        key_id: the public id of the API key it was issued for.
        user_id: `user:<id>`.
        role: the role of the key; what it may do is for the `PolicySet` to say.
        policies: names of the role's policies when the token was issued.
        address: the client's address when the token was issued.
    """

    token_id: str
    key_id: str
    user_id: str
    role: str
    policies: tuple[str, ...]
    address: str
    issued_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, eq=False)
class Issued:
    """A new token and what it stands for. The token is a secret, kept nowhere else."""

    token: str = field(repr=False)
    grant: Grant


class GrantCache:
    """The grants used last, at most so many."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._grants: OrderedDict[str, Grant] = OrderedDict()

    def __len__(self) -> int:
        return len(self._grants)

    def get(self, token_id: str) -> Grant | None:
        """Find a grant, and keep it for longer."""
        grant = self._grants.get(token_id)
        if grant is not None:
            self._grants.move_to_end(token_id)
        return grant

    def put(self, grant: Grant) -> None:
        """Remember a grant; the one used longest ago may have to go."""
        self._grants[grant.token_id] = grant
        self._grants.move_to_end(grant.token_id)
        if len(self._grants) > self._capacity:
            self._grants.popitem(last=False)

    def discard(self, ids: Collection[str]) -> list[str]:
        """Forget the grants with these token or key ids; tell the token ids of those."""
        gone = [
            grant.token_id
            for grant in self._grants.values()
            if grant.token_id in ids or grant.key_id in ids
        ]
        for token_id in gone:
            del self._grants[token_id]
        return gone

    def forget(self, token_id: str) -> None:
        """Forget one grant, where it is known."""
        self._grants.pop(token_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._grants.clear()


class RefusedTokens:
    """Tokens that were refused a moment ago though well signed, with the reason.

    A client that goes on trying with an old token then costs no database read each time. What
    is refused stays so, but a clock may be set and a backup restored: it is believed for a short
    while only.
    """

    def __init__(self, seconds: float, capacity: int) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._refused: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._refused)

    def reason(self, token_id: str, now: float) -> str | None:
        """Tell why a token was refused; None where it has to be looked up."""
        reason, since = self._refused.get(token_id, (None, 0.0))
        return reason if now < since + self._seconds else None

    def put(self, token_id: str, reason: str, now: float) -> None:
        """Remember a refusal; the oldest may have to go."""
        self._refused[token_id] = (reason, now)
        self._refused.move_to_end(token_id)
        if len(self._refused) > self._capacity:
            self._refused.popitem(last=False)
