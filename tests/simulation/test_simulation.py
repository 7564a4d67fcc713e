"""Whatever happens in whatever order, every promise to every subscriber holds."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Life

RUNS = 200
SLOW_RUNS = int(os.environ.get("SIMULATION_RUNS", "10000"))
_common = settings(
    deadline=None,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    verbosity=Verbosity.normal,
)


def test_every_promise_holds_whatever_happens() -> None:
    run_state_machine_as_test(Life, settings=settings(_common, max_examples=RUNS))


@pytest.mark.slow
def test_every_promise_holds_in_ten_thousand_lives() -> None:
    run_state_machine_as_test(Life, settings=settings(_common, max_examples=SLOW_RUNS))
