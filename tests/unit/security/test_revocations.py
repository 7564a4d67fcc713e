"""What was revoked a short while ago."""

from __future__ import annotations

from ticker.security.grants import Grant
from ticker.security.revocations import RecentlyEnded


def grant(token: str, key: str) -> Grant:
    return Grant(token, key, "user:ada", "user", ("everything",), "127.0.0.1", 0.0, 10.0)


def test_what_ended_is_remembered_for_its_time_only() -> None:
    ended = RecentlyEnded(60.0)
    ended.add(["a", "key"], now=0.0)
    assert ended.covers(grant("a", "other"))
    assert ended.covers(grant("x", "key"))
    assert not ended.covers(grant("x", "other"))
    ended.add(["b"], now=59.0)
    ended.add(["a"], now=59.0)
    ended.add([], now=61.0)
    assert not ended.covers(grant("x", "key"))
    assert ended.covers(grant("a", "other"))
    ended.add([], now=120.0)
    assert len(ended) == 0
