"""An hour of the page leaves its memory as it was; by name, since it takes minutes.

The hour is one of the market's own clock, sent as fast as the page takes it: every message that an
hour brings, in an eighth of the time or less. What grows with messages shows in full; what would
grow with the wall clock alone would not.
"""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import StandIn, Tab, stand_in
from tests.browser.program import Program
from tests.browser.test_performance import heap_mb

pytestmark = pytest.mark.slow

SYMBOLS = 50
FRAME_MS = 100
MINUTE_FRAMES = 600
WAIT_SECONDS = 60
WARM_MINUTES = 25  # by then the rings and the candles of the chart are full
GROWTH_MOST_MB = 2.0


def play(stand: StandIn, start_ms: int, minutes: range) -> None:
    """Send some minutes of the market; at the end of each the page has caught up."""
    for minute in minutes:
        for at in range(minute * MINUTE_FRAMES, (minute + 1) * MINUTE_FRAMES):
            prices = {
                f"C{n:02}-USD": f"{100 + at * (n + 7) % 101 / 100:.2f}" for n in range(SYMBOLS)
            }
            stand.tick(prices, time_ms=start_ms + at * FRAME_MS)
        deadline = time.monotonic() + WAIT_SECONDS
        while stand.page.locator("#chart-price .value").inner_text() != prices["C00-USD"]:
            assert time.monotonic() < deadline
            stand.tick(prices, time_ms=start_ms + at * FRAME_MS)  # it may have connected anew


def test_an_hour_leaves_the_memory_as_it_was(
    tab: Tab, shared: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    stand = stand_in(tab, shared)
    session = stand.page.context.new_cdp_session(stand.page)
    session.send("Performance.enable")
    start_ms = int(time.time() * 1000)
    play(stand, start_ms, range(WARM_MINUTES))
    before = heap_mb(session)
    play(stand, start_ms, range(WARM_MINUTES, 60))
    after = heap_mb(session)
    with capsys.disabled():
        print(f"\nheap after {WARM_MINUTES} minutes {before:.2f} MB, after an hour {after:.2f} MB")  # noqa: T201
    assert after - before < GROWTH_MOST_MB
