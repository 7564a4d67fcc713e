"""What an exchange's refusal says of when to come back."""

from __future__ import annotations

import pytest

from ticker.limits import FEED_RETRY_AFTER_SECONDS
from ticker.market.exchanges.http_head import Head, refusal


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("-7", 0),
        ("soon", 0),
        ("9" * 400, 0),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", FEED_RETRY_AFTER_SECONDS),
        ("Mon, 01 Jan 2024 00:00:00 +" + "9" * 20, 0),
    ],
)
def test_any_retry_after_is_read_and_bounded(header: str, seconds: float) -> None:
    head = Head(503, {"retry-after": header}, b"", b"")
    assert refusal("an exchange", head).retry_after == seconds
