"""How many streams may be open: in all, per token, per address and per API key.

Rules for this module: it counts and nothing else. A place is taken before the handshake is
answered, so that any number of handshakes at once cannot pass a limit together.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self

import attrs

Scope = Literal["server", "token", "address", "key"]
_Subject = tuple[Scope, str]


class FullError(Exception):
    """There is no place left; `scope` says where."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.scope: Scope = scope


@attrs.frozen(kw_only=True)
class StreamLimits:
    """The most streams that may be open; 0 lifts a limit.

    Attributes:
        server: in all.
        token: of one token.
        address: of one client's address.
        key: of one API key, where its role has no limit of its own.
    """

    server: int
    token: int
    address: int
    key: int


class Place:
    """A place that is held until the block is left."""

    __slots__ = ("_subjects", "_taken")

    def __init__(self, taken: Counter[_Subject], subjects: tuple[_Subject, ...]) -> None:
        self._taken = taken
        self._subjects = subjects

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for subject in self._subjects:
            self._taken[subject] -= 1
            if not self._taken[subject]:
                # What has no place is not remembered, or the table would only grow.
                del self._taken[subject]
        self._subjects = ()


class Admission:
    """The places that are taken."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._taken: Counter[_Subject] = Counter()

    def place(self, *, token: str, address: str, key: str, key_limit: int | None) -> Place:
        """Take one place, at once.

        Args:
            token: the token's id.
            address: the client's address.
            key: the API key's id.
            key_limit: how many streams a key of its role may have, where the role says so.

        Raises:
            FullError: one of the limits is reached.
        """
        wanted: tuple[_Subject, ...] = (
            ("server", ""),
            ("token", token),
            ("address", address),
            ("key", key),
        )
        limits = self._limits
        key_most = limits.key if key_limit is None else key_limit
        most = (limits.server, limits.token, limits.address, key_most)
        for subject, limit in zip(wanted, most, strict=True):
            if limit and self._taken[subject] >= limit:
                raise FullError(subject[0])
        for subject in wanted:
            self._taken[subject] += 1
        return Place(self._taken, wanted)

    @property
    def taken(self) -> int:
        """How many places are taken in all."""
        return self._taken["server", ""]
