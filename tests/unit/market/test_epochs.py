"""A sequence number counts only with the epoch that it was given in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ticker import limits
from ticker.market.epochs import Epochs, Span


@given(st.lists(st.integers(0, 5), max_size=12))
def test_what_is_proved_is_what_was_published(steps: list[int]) -> None:
    epochs, given_in, seq = Epochs([Span("0", 0)]), {0: "0"}, 0
    for number, ticks in enumerate(steps, 1):
        for _ in range(ticks):
            seq += 1
            given_in[seq] = epochs.current.epoch
        epochs.begin(str(number), seq + 1)
    for each in range(seq + 2):
        for number in range(len(steps) + 1):
            proved = epochs.proves(str(number), each, seq)
            assert proved == (given_in.get(each) == str(number))
        if each in given_in:
            assert epochs.span(each).epoch == given_in[each]


def test_an_epoch_that_begins_before_another_takes_its_place() -> None:
    epochs = Epochs([Span("a", 0)])
    epochs.begin("b", 5)
    epochs.begin("c", 5)
    assert epochs.spans == (Span("a", 0), Span("c", 5))


def test_only_so_many_epochs_are_kept() -> None:
    epochs = Epochs([Span("first", 0)])
    for number in range(2 * limits.EPOCHS_KEPT):
        epochs.begin(str(number), number + 1)
    assert len(epochs.spans) == limits.EPOCHS_KEPT
    assert not epochs.proves("first", 0, 10**6)
