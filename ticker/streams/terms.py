"""What a subscriber may do, and until when: its grant, under the policy of its role.

Rules for this module: no I/O; it reads clocks and settings, and changes only when the token is
renewed.
"""

from __future__ import annotations

import trio

from ticker.security.authority import Grant
from ticker.security.policy import Action, Limits
from ticker.streams.context import StreamContext


class Terms:
    """The grant of one session.

    Attributes:
        grant: what its token allows.
        expires_at: when the session ends with its token, in trio's time; infinity where the
            role may outlive it.
    """

    __slots__ = ("_context", "expires_at", "grant")

    def __init__(self, context: StreamContext, grant: Grant) -> None:
        self._context = context
        self.accept(grant)

    def accept(self, grant: Grant) -> None:
        """Go on under another token."""
        self.grant = grant
        if self.limits.outlive_token:
            self.expires_at = float("inf")
        else:
            # A deadline on the monotonic clock: no jump of the wall clock moves it.
            self.expires_at = trio.current_time() + grant.expires_at - self._context.market.wall()

    @property
    def limits(self) -> Limits:
        """The limits of the role."""
        return self._context.access.limits(self.grant.role)

    @property
    def expires_in(self) -> int:
        """In how many seconds the token expires."""
        return max(0, round(self.grant.expires_at - self._context.market.wall()))

    def allowed(self, action: Action) -> tuple[str, ...]:
        """Return the symbols on which the role may do something."""
        return self._context.access.allowed(self.grant.role, action)
