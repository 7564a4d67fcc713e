"""The pace of a recording: what is due when, without a clock."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticker.limits import AFFIRM_SECONDS, REPLAY_GAP_SECONDS
from ticker.market.exchanges.events import PriceSeen
from ticker.market.sources.replay import Pacer

PRICE = PriceSeen("BTC-USD", Decimal(1))


def test_the_first_line_is_due_at_once_and_the_next_after_what_lay_between() -> None:
    pacer = Pacer(2.0, 100.0)
    pacer.add(7.0, [PRICE])
    pacer.add(8.0, [PRICE, PRICE])
    assert pacer.next_at == 100.0
    assert pacer.due(100.0) == [PRICE]
    assert pacer.next_at == 100.5
    assert pacer.due(100.4) == []
    assert pacer.due(100.5) == [PRICE, PRICE]
    assert not pacer


def test_a_long_silence_is_shortened_and_a_clock_that_steps_back_is_no_wait() -> None:
    pacer = Pacer(1.0, 0.0)
    for received in (0.0, 86_400.0, 3.0):
        pacer.add(received, [PRICE])
    assert pacer.due(REPLAY_GAP_SECONDS - 0.1) == [PRICE]
    assert pacer.due(REPLAY_GAP_SECONDS) == [PRICE, PRICE]


@pytest.mark.parametrize("received", [[0.0, 60.0], [0.0, 0.5]])
def test_it_wakes_for_a_line_or_for_affirming_whichever_is_sooner(received: list[float]) -> None:
    pacer = Pacer(1.0, 0.0)
    for moment in received:
        pacer.add(moment, [PRICE])
    pacer.due(0.0)
    assert pacer.next_at == min(AFFIRM_SECONDS, received[1])
    assert not pacer.affirms(AFFIRM_SECONDS - 0.01)
    assert pacer.affirms(AFFIRM_SECONDS)
    assert not pacer.affirms(AFFIRM_SECONDS)


@settings(deadline=None)  # a slow playback affirms thousands of times
@given(st.lists(st.floats(-1e6, 1e10), max_size=30), st.sampled_from([0.01, 1.0, 1000.0]))
def test_lines_are_due_in_their_order_and_none_is_lost(received: list[float], speed: float) -> None:
    pacer = Pacer(speed, 0.0)
    for number, moment in enumerate(received):
        pacer.add(moment, [PriceSeen("BTC-USD", Decimal(number + 1))])
    now, seen = 0.0, []
    while pacer:
        assert pacer.next_at <= now + REPLAY_GAP_SECONDS / speed + AFFIRM_SECONDS
        now = max(now, pacer.next_at)
        pacer.affirms(now)
        seen += pacer.due(now)
    assert [int(price.price) for price in seen] == list(range(1, len(received) + 1))
