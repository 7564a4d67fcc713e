"""How keys and tokens are shown to people."""

from __future__ import annotations

import pytest

from ticker.cli.keys import show_time


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (None, "-"),
        (0.0, "1970-01-01 00:00:00Z"),
        (1795649354.9, "2026-11-25 23:29:14Z"),
        (99_999_999_999 * 86400.0, "9999-12-31 23:59:59Z"),
        (1e300, "9999-12-31 23:59:59Z"),
    ],
    ids=["never", "the epoch", "now", "after the calendar", "after everything"],
)
def test_any_moment_can_be_shown(moment: float | None, shown: str) -> None:
    assert show_time(moment) == shown
