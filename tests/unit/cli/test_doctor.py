"""What `ticker doctor` says, as people write it."""

from __future__ import annotations

import pytest

from ticker.cli.doctor import ago


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "just now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (86400, "1 day ago"),
        (3 * 86400 + 5, "3 days ago"),
        (176935046.0, "5 years ago"),
        (-90, "1 min ahead of this clock"),
    ],
)
def test_ages_are_said_as_people_write_them(seconds: float, said: str) -> None:
    assert ago(seconds) == said
