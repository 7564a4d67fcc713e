"""What close codes, statuses and headers mean for the next connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.client import AuthenticationError, ForbiddenError, ProtocolError, TickerError
from ticker.client.disconnects import (
    ForeignAnswer,
    Retry,
    StaleToken,
    of_close,
    of_exchange,
    of_handshake,
    seconds_of,
)
from ticker.client.limits import RETRY_AFTER_MAXIMUM_SECONDS
from ticker.protocol.close_codes import CloseCode


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_of_ours_is_met_as_its_class_demands(code: CloseCode) -> None:
    fault = of_close(code, code.reason)
    if code is CloseCode.UNAUTHENTICATED:
        assert isinstance(fault, StaleToken)
    elif not 4000 <= code < 4100:
        assert type(fault) is Retry
    else:
        assert isinstance(fault, ProtocolError)
        assert fault.code == code


@given(st.integers(1000, 4999), st.none() | st.text())
def test_any_close_code_is_met(code: int, reason: str | None) -> None:
    fault = of_close(code, reason)
    lasting = 4000 <= code < 4100 and code != 4001
    assert isinstance(fault, TickerError) is lasting
    assert isinstance(fault, Retry) is not lasting


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ForeignAnswer),
        (401, StaleToken),
        (403, ForbiddenError),
        (404, ForeignAnswer),
        (301, ForeignAnswer),
        (408, Retry),
        (429, Retry),
        (500, Retry),
        (502, Retry),
        (503, Retry),
    ],
)
def test_a_refused_handshake_is_met_by_its_status(status: int, kind: type[Exception]) -> None:
    assert type(of_handshake(status, "")) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ForeignAnswer),
        (401, AuthenticationError),
        (403, ForbiddenError),
        (404, ForeignAnswer),
        (413, ForeignAnswer),
        (429, Retry),
        (503, Retry),
    ],
)
def test_a_refused_exchange_is_met_by_its_status(status: int, kind: type[Exception]) -> None:
    assert type(of_exchange(status, "")) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("7", 7), (" 7 ", 7), ("-7", 0), ("soon", 0), ("٣", 0), ("9" * 400, 300)]
    + [(f"Mon, 01 Jan 2026 00:00:00 {zone}", 0) for zone in ("+" + "9" * 20, "+9999", "-0000")]
    + [("Mon, 01 Jan 0001 00:00:00 +2359", 0), ("Fri, 31 Dec 9999 23:59:59 -2359", 300)],
)
def test_retry_after_is_read_in_seconds_and_within_reason(header: str, seconds: float) -> None:
    assert seconds_of(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=60)
    assert 50 < seconds_of(format_datetime(soon, usegmt=True)) <= 60
    assert seconds_of("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    assert seconds_of("Sun, 06 Nov 2994 08:49:37 -0000") == RETRY_AFTER_MAXIMUM_SECONDS


@given(st.text())
def test_any_retry_after_is_survived(header: str) -> None:
    assert 0 <= seconds_of(header) <= RETRY_AFTER_MAXIMUM_SECONDS


@given(st.floats(allow_nan=False))
def test_no_server_can_ask_for_a_wait_above_the_bound(seconds: float) -> None:
    assert 0 <= Retry("later", seconds).after_seconds <= RETRY_AFTER_MAXIMUM_SECONDS
