"""What a worker is told by its environment, and that nothing else is taken for it."""

from __future__ import annotations

import pytest

from ticker.server.handover import HANDOVER, Handover


def test_a_worker_reads_what_its_supervisor_told() -> None:
    told = Handover(3, 10, 11, 12, replaces=True)
    assert Handover.of(told.environment()) == told


@pytest.mark.parametrize(
    "text", ["", "  ", "x", "1:2:3:4", "1:2:3:4:-5", "1:2:3:4:5:6", "9" * 5000]
)
def test_what_no_supervisor_said_makes_no_worker(text: str) -> None:
    assert Handover.of({HANDOVER: text}) is None
