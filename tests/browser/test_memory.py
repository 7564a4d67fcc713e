"""An hour of the page leaves its memory as it was; by name, since it takes minutes.

The hour is one of the market's own clock, sent as fast as the page takes it: every message that an
hour brings, in an eighth of the time or less. What grows with messages shows in full; what would
grow with the wall clock alone would not.
"""

from __future__ import annotations

import time

import pytest

from tests.browser.conftest import StandIn, Tab, stand_in
from tests.browser.driver import expect
from tests.browser.program import Program
from tests.browser.test_performance import heap_mb

pytestmark = pytest.mark.slow

SYMBOLS = 50
FRAME_MS = 100
MINUTE_FRAMES = 600
GROWTH_MOST_MB = 2.0


def play(stand: StandIn, start_ms: int, minutes: range) -> None:
    """Send some minutes of the market."""
    for minute in minutes:
        for frame in range(MINUTE_FRAMES):
            at = minute * MINUTE_FRAMES + frame
            prices = {
                f"C{n:02}-USD": f"{100 + n + at * (n + 7) % 101 / 100:.2f}" for n in range(SYMBOLS)
            }
            stand.tick(prices, time_ms=start_ms + at * FRAME_MS)
        last = minute * MINUTE_FRAMES + MINUTE_FRAMES - 1
        shown = f"{100 + last * 7 % 101 / 100:.2f}"
        expect(stand.page.locator("#chart-price .value")).to_have_text(shown, timeout=60_000)


def test_an_hour_leaves_the_memory_as_it_was(
    tab: Tab, shared: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    stand = stand_in(tab, shared)
    session = stand.page.context.new_cdp_session(stand.page)
    session.send("Performance.enable")
    start_ms = int(time.time() * 1000)
    play(stand, start_ms, range(10))
    before = heap_mb(session)
    play(stand, start_ms, range(10, 60))
    after = heap_mb(session)
    with capsys.disabled():
        print(f"\nheap after 10 minutes {before:.2f} MB, after an hour {after:.2f} MB")  # noqa: T201
    assert after - before < GROWTH_MOST_MB
