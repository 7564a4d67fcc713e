"""How many streams may be open: in all, per token, per address and per API key.

Rules for this module: what counts is in `ticker.places`. A place is taken before the handshake is
answered, so that any number of handshakes at once cannot pass a limit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Self

import attrs

from ticker.places import LimitReachedError, LocalPlaces, NoRoomError, Places

Scope = Literal["server", "token", "address", "key"]
#: In the order in which they are asked for.
_SCOPES: Final[tuple[Scope, ...]] = ("server", "token", "address", "key")


#: The subject that all streams are counted for.
_SERVER: Final = "server"


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

    __slots__ = ("_admission", "_subjects")

    def __init__(self, admission: Admission, subjects: Sequence[str]) -> None:
        self._admission = admission
        self._subjects = subjects

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        subjects, self._subjects = self._subjects, ()
        if subjects:
            self._admission.give_back(subjects)


class Admission:
    """The places that are taken.

    Attributes:
        taken: how many streams of this process hold one.
    """

    def __init__(self, limits: StreamLimits, places: Places | None = None) -> None:
        """Begin without a stream.

        Args:
            limits: the most there may be, in all processes that count in the same places.
            places: where to count; in this process alone where it is left out.
        """
        self.taken = 0
        self._limits = limits
        self._places: Places = LocalPlaces() if places is None else places

    @property
    def open(self) -> int:
        """How many streams hold a place, in all processes that count together."""
        return self._places.count(_SERVER)

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
        # What a name begins with keeps a token and a key apart that are called the same.
        subjects = (_SERVER, f"token {token}", f"address {address}", f"key {key}")
        limits = self._limits
        key_most = limits.key if key_limit is None else key_limit
        most = (limits.server, limits.token, limits.address, key_most)
        try:
            self._places.take(subjects, most)
        except LimitReachedError as reached:
            raise FullError(_SCOPES[reached.place]) from None
        except NoRoomError:
            raise FullError("server") from None
        self.taken += 1
        return Place(self, subjects)

    def give_back(self, subjects: Sequence[str]) -> None:
        """Give the place of one stream back."""
        self._places.give_back(subjects)
        self.taken -= 1
