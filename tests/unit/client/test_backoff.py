"""Exponential backoff with full jitter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticker.client.backoff import bound, full_jitter
from ticker.client.limits import BACKOFF_INITIAL_SECONDS, BACKOFF_MAXIMUM_SECONDS


def test_the_bound_doubles_up_to_its_maximum() -> None:
    assert [bound(attempt) for attempt in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert bound(10**6) == BACKOFF_MAXIMUM_SECONDS


@given(st.integers(0, 10**9), st.floats(0, 300), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_what_was_asked_and_the_bound_above_it(
    attempt: int, asked: float, drawn: float
) -> None:
    wait = full_jitter(attempt, asked, lambda: drawn)
    assert asked <= wait <= asked + bound(attempt)


def test_the_jitter_covers_the_whole_range() -> None:
    assert full_jitter(0, 0.0, lambda: 0.0) == 0
    assert full_jitter(0, 0.0, lambda: 0.5) == BACKOFF_INITIAL_SECONDS / 2
