"""When to restart what crashed: the pure half of supervision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.supervision import RestartPolicy

DEFAULT = RestartPolicy()


def test_the_defaults_double_from_a_second_up_to_ninety() -> None:
    pauses = [DEFAULT.pause(crashes, 0.5) for crashes in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 90, 90]


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 3.6), (0.5, 4.0), (0.999999999, 4.4)])
def test_chance_moves_a_pause_by_at_most_a_tenth(chance: float, pause: float) -> None:
    assert DEFAULT.pause(3, chance) == pytest.approx(pause)


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_count_of_crashes_overflows_or_leaves_the_bounds(crashes: int, chance: float) -> None:
    assert 0.9 <= DEFAULT.pause(crashes, chance) <= 99.0 + 1e-9


@given(st.floats(0.001, 1000), st.floats(1, 10), st.floats(0.001, 1000), st.integers(1, 500))
def test_a_pause_never_shrinks_with_more_crashes(
    initial: float, factor: float, maximum: float, crashes: int
) -> None:
    policy = RestartPolicy(initial=initial, factor=factor, maximum=maximum, jitter=0.0)
    assert policy.pause(crashes, 0.3) <= policy.pause(crashes + 1, 0.3) <= maximum


@pytest.mark.parametrize(("ran_for", "count"), [(0.0, 4), (4.99, 4), (5.0, 1), (1e6, 1)])
def test_running_for_long_enough_forgets_earlier_crashes(ran_for: float, count: int) -> None:
    assert DEFAULT.crashes(3, ran_for) == count
