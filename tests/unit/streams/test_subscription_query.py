"""A subscription in a query says the same as one in a message, or is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.protocol.requests import Resume, Subscribe
from ticker.streams.subscription_query import QueryError, read_subscription


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("", None),
        ("x-auth-token=t", None),
        ("symbols=BTC-USD", Subscribe(["BTC-USD"])),
        ("symbols=BTC-USD,ETH-USD&x-auth-token=t", Subscribe(["BTC-USD", "ETH-USD"])),
        ("symbols=BTC-USD%2CETH-USD", Subscribe(["BTC-USD", "ETH-USD"])),
        ("mode=changes&interval_ms=100", Subscribe(None, 100, "changes")),
        ("mode=every&detail=full", Subscribe(None, None, "every", "full")),
        ("mode=latest&detail=price", Subscribe(None, None, "latest", "price")),
        ("mode=every&resume=e0c1:17", Subscribe(mode="every", resume=Resume("e0c1", 17))),
        ("resume=e0c1%3A17", Subscribe(resume=Resume("e0c1", 17))),
    ],
)
def test_the_fields_of_a_subscribe_message_may_stand_in_a_query(
    query: str, request_: Subscribe | None
) -> None:
    assert read_subscription(query) == request_


@pytest.mark.parametrize(
    "query",
    [
        "mode=all",
        "mode=",
        "detail=much",
        "interval_ms=",
        "interval_ms=0",
        "interval_ms=-1",
        "interval_ms=1.5",
        "interval_ms=1e3",
        "interval_ms=60001",
        "interval_ms=" + "9" * 5000,
        "interval_ms=%D9%A3",
        "mode=every&interval_ms=100",
        "resume=",
        "resume=17",
        "resume=:17",
        "resume=e0c1:",
        "resume=e0c1:-1",
        "resume=e0c1:1_0",
        f"resume={'e' * 65}:1",
        "resume=e0c1:99999999999999999999",
        "mode=latest&mode=changes",
        "symbols=A-B&symbols=C-D",
    ],
    ids=lambda query: query[:30],
)
def test_a_query_that_cannot_be_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        read_subscription(query)


@given(st.text())
def test_no_query_at_all_does_worse_than_being_refused(query: str) -> None:
    for text in (query, f"resume={query}", f"symbols={query}&mode=every"):
        with suppress(QueryError):
            read_subscription(text)
