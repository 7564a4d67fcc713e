"""What is known of the sources while another process runs them and this one follows its market."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ticker.market.condition import Condition

#: Why every source is stale where nothing is heard of the process that runs them.
NO_FEEDER = "no feeder"


class Followed:
    """The condition of the sources, as it was heard last.

    Attributes:
        condition: None while this process runs the sources by itself.
        lost: whether nothing is heard any more.
    """

    def __init__(self, symbols: Sequence[str], changed: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            symbols: every symbol of the market.
            changed: called after the state of a source has changed.
        """
        self.condition: Condition | None = None
        self.lost = False
        self._symbols = symbols
        self._changed = changed

    def hear(self, condition: Condition) -> None:
        """Take in what the process that runs the sources says of them."""
        before, self.condition = self.condition, condition
        self.lost = False
        if before is None or before.states != condition.states:
            self._changed()

    def lose(self, since: int) -> None:
        """Note that nothing has been heard of that process since a time, in milliseconds."""
        if self.condition is not None and not self.lost:
            self.lost = True
            self.condition = self.condition.lost(self._symbols, since, NO_FEEDER)
            self._changed()

    def end(self) -> None:
        """Follow no more: from here on this process runs the sources."""
        self.condition, self.lost = None, False
