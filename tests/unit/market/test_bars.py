"""Bars in columns: what a symbol that is full takes in memory, as `docs/operations.md` has it."""

from __future__ import annotations

import sys
from array import array

import pytest

from ticker.market.bars import Series
from ticker.market.steps import STEPS

#: A time, open, high, low and close of 4 bytes each; a volume of 8.
BAR_BYTES, VOLUME_BYTES = 20, 8


def full(*, volumes: bool) -> list[Series]:
    """Return the bars of a symbol of which more has come than is kept, a few at a time."""
    every = []
    for step in STEPS.values():
        series = Series(step)
        for first in range(0, step.bars + 500, 100):
            numbers = array("q", range(first, first + 100))
            price = array("i", [4_200_000]) * 100
            columns = [numbers, price, price, price, price]
            series.append([*columns, array("q", [2**40]) * 100] if volumes else columns)
        every.append(series)
    return every


@pytest.mark.parametrize("volumes", [False, True])
def test_a_full_symbol_takes_what_the_pages_say_however_much_has_come(*, volumes: bool) -> None:
    bars = sum(step.bars for step in STEPS.values())
    assert bars == 22_464
    held, taken = 0, 0
    for series in full(volumes=volumes):
        assert len(series) == series.step.bars
        for values in series.columns(0, 2**62):
            assert isinstance(values, array)
            held += len(values) * values.itemsize
        kept = [series._times, *series._prices]
        kept += [series._volumes] if series._volumes else []
        taken += sum(sys.getsizeof(column.values) for column in kept)
    assert held == bars * (BAR_BYTES + VOLUME_BYTES * volumes)
    assert taken < 1.25 * held  # with the room that an array keeps to grow in
