"""The bounded memory of grants and of what ended a short while ago."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticker.security.grants import Grant, GrantCache, Issued, RecentlyEnded


def grant(token: str, key: str = "key") -> Grant:
    return Grant(token, key, "user:ada", "user", ("everything",), "127.0.0.1", 0.0, 10.0)


def test_a_full_cache_lets_go_of_the_grant_used_longest_ago() -> None:
    cache = GrantCache(2)
    cache.put(grant("a"))
    cache.put(grant("b"))
    assert cache.get("a") == grant("a")
    cache.put(grant("c"))
    assert cache.get("b") is None
    assert cache.get("a") == grant("a")
    assert len(cache) == 2


@given(st.lists(st.text(alphabet="abcdef", min_size=1, max_size=1)), st.integers(1, 4))
def test_the_cache_never_holds_more_than_its_capacity(names: list[str], capacity: int) -> None:
    cache = GrantCache(capacity)
    for name in names:
        cache.put(grant(name))
        assert len(cache) <= capacity
        assert cache.get(name) == grant(name)


def test_discarding_a_key_forgets_all_its_tokens_and_tells_them() -> None:
    cache = GrantCache(10)
    for token, key in [("a", "k1"), ("b", "k2"), ("c", "k1"), ("d", "k3")]:
        cache.put(grant(token, key))
    assert sorted(cache.discard({"k1", "d"})) == ["a", "c", "d"]
    assert cache.get("a") is None
    assert cache.get("b") == grant("b", "k2")
    cache.forget("b")
    cache.forget("b")
    assert len(cache) == 0


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


def test_the_representation_of_an_issued_token_hides_it() -> None:
    assert "s3cret" not in repr(Issued("s3cret", grant("a")))
