"""A stranger causes a few lines a minute, and one that sums up the rest."""

from __future__ import annotations

import math

import pytest

from ticker import limits
from ticker.log_throttle import OTHERS, Summary, Throttle

REFUSED = "handshake_refused"


def logged(
    throttle: Throttle, address: str, count: int, now: float, reason: str = "no_token"
) -> int:
    return sum(throttle.admit(REFUSED, address, reason, now) for _ in range(count))


def test_the_first_lines_of_an_address_are_logged_and_the_rest_is_summed_up() -> None:
    throttle = Throttle()
    assert logged(throttle, "192.0.2.1", 100, 0.0) == limits.LOG_LINES_PER_MINUTE
    assert logged(throttle, "192.0.2.1", 7, 30.0, "origin") == 0
    assert throttle.summaries(59.9) == []
    left_out = {REFUSED: {"no_token": 100 - limits.LOG_LINES_PER_MINUTE, "origin": 7}}
    assert throttle.summaries(60.0) == [Summary("192.0.2.1", left_out)]
    assert throttle.summaries(60.0) == []
    assert logged(throttle, "192.0.2.1", 100, 60.0) == limits.LOG_LINES_PER_MINUTE


def test_each_address_has_lines_of_its_own() -> None:
    throttle = Throttle()
    logged(throttle, "192.0.2.1", 100, 0.0)
    assert logged(throttle, "192.0.2.2", 1, 0.0) == 1


def test_addresses_of_one_ipv6_network_count_together() -> None:
    throttle = Throttle()
    addresses = [f"2001:db8::{number:x}" for number in range(100)]
    count = sum(logged(throttle, address, 1, 0.0) for address in addresses)
    assert count == limits.LOG_LINES_PER_MINUTE


def test_no_number_of_addresses_makes_the_table_grow_beyond_its_bound() -> None:
    throttle = Throttle()
    for number in range(limits.LOG_KEYS + 500):
        logged(throttle, f"10.0.{number >> 8}.{number & 255}", 1, 0.0)
    assert len(throttle._minutes) == limits.LOG_KEYS + 1
    assert throttle.summaries(math.inf) == [Summary(OTHERS, {REFUSED: {"no_token": 500}})]


def test_no_number_of_reasons_makes_a_summary_grow_beyond_its_bound() -> None:
    throttle = Throttle()
    for number in range(1000):
        logged(throttle, "192.0.2.1", 1, 0.0, f"reason {number}")
    (summary,) = throttle.summaries(math.inf)
    assert len(summary.counts[REFUSED]) == limits.LOG_REASONS + 1


def test_events_without_an_address_count_by_their_name() -> None:
    throttle = Throttle()
    count = sum(throttle.admit("connection_crashed", "", "KeyError", 0.0) for _ in range(100))
    assert count == limits.LOG_LINES_PER_MINUTE
    assert throttle.admit("draining", "", "", 0.0)


def test_what_an_audit_needs_is_never_left_out() -> None:
    throttle = Throttle()
    assert all(throttle.admit("stream_opened", "192.0.2.1", "", 0.0) for _ in range(1000))


@pytest.mark.parametrize("event", ["worker_ended", "draining", "feeding"])
def test_every_step_in_the_life_of_workers_is_logged(event: str) -> None:
    throttle = Throttle()
    assert all(throttle.admit(event, "", "", 0.0) for _ in range(100))
