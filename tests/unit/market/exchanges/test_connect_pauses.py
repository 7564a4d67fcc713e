"""How often a source may connect, and by how much pauses grow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ticker.limits import FEED_CONNECT_SPACING_SECONDS, FEED_REPLACE_RETRY_SECONDS
from ticker.market.exchanges.connect_pauses import ConnectBudget, growing_pause, replacement_pause


@given(
    st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=60),
    st.integers(2, 10),
    st.integers(5, 60),
)
def test_no_way_of_asking_gets_more_connections_than_the_budget(
    pauses: list[float], most: int, seconds: int
) -> None:
    budget, now, opened = ConnectBudget(most, seconds), 0.0, []
    for pause in pauses:
        now += pause
        now += budget.claim(now)
        opened.append(now)
    for earlier, later in pairwise(opened):
        assert later - earlier >= FEED_CONNECT_SPACING_SECONDS - 1e-6
    for earlier, later in zip(opened, opened[most:], strict=False):
        assert later - earlier >= seconds - 1e-6


def test_the_first_connection_and_one_after_a_long_while_wait_for_nothing() -> None:
    budget = ConnectBudget(60, 300)
    assert budget.claim(100) == 0
    assert budget.claim(100) == 1
    assert budget.claim(500) == 0


def test_pauses_double_up_to_their_limit_however_long_that_goes_on() -> None:
    assert [growing_pause(times, 5, 60) for times in (1, 2, 3, 4, 5, 10**6)] == [
        *(5, 10, 20, 40, 60, 60)
    ]
    assert replacement_pause(0) == 0
    assert [replacement_pause(times) for times in (1, 2, 3)] == [1, 2, 4]
    assert replacement_pause(1000) == FEED_REPLACE_RETRY_SECONDS
