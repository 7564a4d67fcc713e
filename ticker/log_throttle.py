"""How many log lines a stranger can cause: the first few, then one summary a minute.

Rules for this module: pure; events and monotonic times go in, decisions and summaries come out.
Lines count by address where an event has one (IPv6 by network), else by the event's name.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs

from ticker import limits
from ticker.addresses import limit_key

#: Who is beyond the size of the table is counted together under this name.
OTHERS: Final = "others"
#: Lines that only the owner of a good key or the operator can cause: each is kept, for an audit.
AUDIT: Final = frozenset(
    {
        "stream_opened",
        "stream_closed",
        "api_key_created",
        "api_key_revoked",
        "api_key_rotated",
        "token_issued",
        "token_revoked",
        # The life of workers, which restarts slow down: without a line an end could not be seen.
        "signal_received",
        "worker_started",
        "worker_serves",
        "worker_ended",
        "worker_crashed",
        "worker_killed",
        "draining",
        "following",
        "feeding",
    }
)


@attrs.frozen
class Summary:
    """What was left out of the log.

    Attributes:
        address: of whom; empty where the events have none.
        counts: how often, by event and reason.
    """

    address: str
    counts: dict[str, dict[str, int]]


class _Minute:
    """What came under one key since `began`."""

    __slots__ = ("address", "began", "left_out", "logged")

    def __init__(self, address: str, began: float) -> None:
        self.address = address
        self.began = began
        self.logged = 0
        self.left_out: Counter[tuple[str, str]] = Counter()


class Throttle:
    """Decides which lines are logged, in a table of bounded size."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, str], _Minute] = {}

    def admit(self, event: str, address: str, reason: str, now: float) -> bool:
        """Say whether to log a line; one that is not is counted for a summary.

        Args:
            event: its name.
            address: whose client caused it; empty where no one client did.
            reason: what to count it under.
            now: monotonic seconds.
        """
        if event in AUDIT:
            return True
        minute = self._minute(event, address, now)
        if minute.address != OTHERS and minute.logged < limits.LOG_LINES_PER_MINUTE:
            minute.logged += 1
            return True
        if len(minute.left_out) >= limits.LOG_REASONS:
            reason = OTHERS
        minute.left_out[event, reason] += 1
        return False

    def summaries(self, now: float) -> list[Summary]:
        """Return the summaries that are due, and forget what they tell of; at infinity, all."""
        over = [
            key
            for key, minute in self._minutes.items()
            if now - minute.began >= limits.LOG_SUMMARY_SECONDS
        ]
        return [_summary(minute) for key in over if (minute := self._minutes.pop(key)).left_out]

    def _minute(self, event: str, address: str, now: float) -> _Minute:
        who = limit_key(address) if address else ""
        key = (who, "" if who else event)
        minute = self._minutes.get(key)
        if minute is None:
            if len(self._minutes) >= limits.LOG_KEYS:
                key = (OTHERS, "")
            minute = self._minutes.setdefault(key, _Minute(key[0], now))
        return minute


def _summary(minute: _Minute) -> Summary:
    counts: dict[str, dict[str, int]] = {}
    for (event, reason), count in minute.left_out.items():
        counts.setdefault(event, {})[reason] = count
    return Summary(minute.address, counts)
