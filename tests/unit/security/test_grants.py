"""The bounded memory of grants and of refused tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticker.security.grants import Grant, GrantCache, Issued, RefusedTokens


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


def test_a_refusal_is_remembered_for_its_time_only() -> None:
    refused = RefusedTokens(10.0, capacity=2)
    assert refused.reason("a", 0.0) is None
    refused.put("a", "expired", 0.0)
    assert refused.reason("a", 9.9) == "expired"
    assert refused.reason("a", 10.0) is None
    refused.put("b", "unknown", 1.0)
    refused.put("a", "expired", 2.0)
    refused.put("c", "revoked", 3.0)
    assert [refused.reason(name, 4.0) for name in "abc"] == ["expired", None, "revoked"]
    assert len(refused) == 2


def test_the_representation_of_an_issued_token_hides_it() -> None:
    assert "s3cret" not in repr(Issued("s3cret", grant("a")))
