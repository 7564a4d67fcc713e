"""How many streams may be open: in all, per token and per address.

Rules for this module: it counts and nothing else. A place is taken before the handshake is
answered, so that any number of handshakes at once cannot pass a limit together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import attrs

Scope = Literal["server", "token", "address", "key"]


class FullError(Exception):
    """There is no place left; `scope` says where."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.scope: Scope = scope


@attrs.frozen(kw_only=True)
class StreamLimits:
    """The most streams that may be open; 0 lifts a limit."""

    server: int
    token: int
    address: int


class Admission:
    """The places that are taken."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._taken: Counter[tuple[Scope, str]] = Counter()

    @contextmanager
    def place(self, *, token: str, address: str, key: str, key_limit: int | None) -> Iterator[None]:
        """Hold one place until the block is left.

        Args:
            token: the token's id.
            address: the client's address.
            key: the API key's id.
            key_limit: how many streams the key's role may have, where it is limited.

        Raises:
            FullError: one of the limits is reached.
        """
        wanted: list[tuple[tuple[Scope, str], int]] = [
            (("server", ""), self._limits.server),
            (("token", token), self._limits.token),
            (("address", address), self._limits.address),
            (("key", key), key_limit or 0),
        ]
        for (scope, name), limit in wanted:
            if limit and self._taken[scope, name] >= limit:
                raise FullError(scope)
        for subject, _ in wanted:
            self._taken[subject] += 1
        try:
            yield
        finally:
            for subject, _ in wanted:
                self._taken[subject] -= 1
                if not self._taken[subject]:
                    # What has no place is not remembered, or the table would only grow.
                    del self._taken[subject]

    @property
    def taken(self) -> int:
        """How many places are taken in all."""
        return self._taken["server", ""]
