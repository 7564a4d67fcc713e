"""Who is asking, also behind proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.addresses import client_address, limit_key

PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ([], 0, PEER),
        (["1.2.3.4"], 0, PEER),
        ([], 1, PEER),
        (["1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.0.0.2"], 2, "1.2.3.4"),
        (["1.2.3.4"], 2, PEER),
        (["2001:DB8::1"], 1, "2001:db8::1"),
        (["unknown"], 1, PEER),
        (["1.2.3.4:555"], 1, PEER),
        ([""], 1, PEER),
    ],
)
def test_only_what_our_own_proxies_saw_is_believed(
    forwarded: list[str], hops: int, address: str
) -> None:
    assert client_address(PEER, forwarded, hops) == address


@given(st.lists(st.text(max_size=40), max_size=4), st.integers(0, 5))
def test_no_header_does_worse_than_being_ignored(forwarded: list[str], hops: int) -> None:
    assert client_address(PEER, forwarded, hops)


@given(st.lists(st.text("0123456789abcdef.:, ", max_size=30), max_size=3))
def test_what_a_client_adds_on_the_left_changes_nothing(made_up: list[str]) -> None:
    assert client_address(PEER, [*made_up, "1.2.3.4"], 1) == "1.2.3.4"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
    ],
)
def test_limits_count_ipv6_by_its_network(address: str, key: str) -> None:
    assert limit_key(address) == key
