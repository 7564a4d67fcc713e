"""The lengths of bars: seconds, minutes and hours, and how many of each are kept."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["HOUR", "MINUTE", "SECOND", "STEPS", "Step"]


@attrs.frozen
class Step:
    """One length of bars.

    Attributes:
        name: what requests call it, as in `1m`.
        ms: from one bar to the next, in milliseconds.
        bars: how many are kept: a day of minutes is 1440.
    """

    name: str
    ms: int
    bars: int

    def begin(self, time_ms: int) -> int:
        """Return when the bar begins that a moment is in."""
        return time_ms - time_ms % self.ms

    def oldest(self, now_ms: int) -> int:
        """Return when the oldest bar begins that is kept at a time."""
        return self.begin(now_ms) - (self.bars - 1) * self.ms


SECOND: Final = Step("1s", 1_000, 3_600)
MINUTE: Final = Step("1m", 60_000, 7 * 24 * 60)
HOUR: Final = Step("1h", 3_600_000, 366 * 24)
#: Every step by its name, the finest first.
STEPS: Final = {step.name: step for step in (SECOND, MINUTE, HOUR)}
