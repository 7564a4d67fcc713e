"""The tick log holds what the last ticks changed, and knows how far back that is all."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ticker import limits
from ticker.market.quote import Quote
from ticker.market.tick_log import LoggedTick, TickLog

QUOTES = tuple(Quote(f"A{place}-USD", Decimal(place + 1), 1000, 1000, "x") for place in range(3))


def tick(seq: int, full: tuple[int, ...], price: tuple[int, ...] | None = None) -> LoggedTick:
    changed = {"price": full if price is None else price, "full": full}
    return LoggedTick(seq, seq * 10, changed, tuple(QUOTES[place] for place in full))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 4), st.floats(0, 3)), max_size=30), st.integers(1, 5000))
def test_it_is_bounded_in_time_and_bytes_and_says_what_is_lost(
    steps: list[tuple[int, float]], max_bytes: int
) -> None:
    log = TickLog(5.0, max_bytes)
    seq, now, added = 0, 100.0, []
    for jump, seconds in steps:
        seq, now = seq + jump, now + seconds
        log.add(tick(seq, (0, 1)), now)
        added.append((seq, now))
    kept = [entry.seq for entry in log.since(log.reaches)]
    assert kept == [seq for seq, _ in added][len(added) - len(kept) :]
    assert log.reaches == (added[-len(kept) - 1][0] if len(kept) < len(added) else 0)
    assert all(at >= now - 5.0 for seq, at in added if seq in kept)
    size = tick(1, (0, 1)).size
    assert len(kept) * size <= max_bytes
    for after in range(log.reaches, seq + 1):
        assert [entry.seq for entry in log.since(after)] == [one for one in kept if one > after]


def test_a_detail_is_shown_its_own_changes() -> None:
    logged = tick(1, (2, 0, 1), (2, 1))
    assert dict(logged.shown("full")) == {2: QUOTES[2], 0: QUOTES[0], 1: QUOTES[1]}
    assert dict(logged.shown("price")) == {2: QUOTES[2], 1: QUOTES[1]}


def test_a_tick_takes_the_memory_that_limits_say() -> None:
    assert tick(1, (0, 1)).size == limits.LOG_TICK_BYTES + 2 * limits.LOG_QUOTE_BYTES
