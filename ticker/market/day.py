"""The figures of the last 24 hours from our own bars, for where a source tells none.

Rules for this module: pure. They begin with a whole minute, and are known to be of less than 24
hours where no bar is older: then `since` says since when.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from ticker.market.bars import UNKNOWN
from ticker.market.candles import HOUR, MINUTE, SECOND, Candles
from ticker.market.quote import Details

__all__ = ["day_of", "widened"]

DAY_MS: Final = 24 * HOUR.ms


def day_of(candles: Candles, now_ms: int) -> Details | None:
    """Make the figures of the 24 hours before a time; None where there was no price in them."""
    begin = MINUTE.begin(now_ms) - DAY_MS + MINUTE.ms
    numbers, opens, highs, lows, _, *more = candles.columns(MINUTE, begin, now_ms + DAY_MS)
    if not numbers:
        return None
    volumes = more[0] if more else ()
    known = bool(volumes) and UNKNOWN not in volumes
    return Details(
        open_24h=candles.price(opens[0]),
        high_24h=candles.price(max(highs)),
        low_24h=candles.price(min(lows)),
        volume_24h=candles.volume(sum(volumes)) if known else None,
        since=_since(candles, begin, numbers[0] * MINUTE.ms),
    )


def widened(day: Details | None, time_ms: int, price: Decimal) -> Details:
    """Return the figures of a day with one more price; of that price alone where there are none."""
    if day is None or day.high_24h is None or day.low_24h is None:
        return Details(open_24h=price, high_24h=price, low_24h=price, since=SECOND.begin(time_ms))
    highest, lowest = max(day.high_24h, price), min(day.low_24h, price)
    return msgspec.structs.replace(day, high_24h=highest, low_24h=lowest)


def _since(candles: Candles, begin: int, first: int) -> int | None:
    """Return when the first of some minutes began; None where there was a price before them."""
    oldest = [candles.first_begin(step) for step in (SECOND, MINUTE, HOUR)]
    if any(time is not None and time < begin for time in oldest[1:]):
        return None
    second = oldest[0]
    return max(first, second) if second is not None and second < first + MINUTE.ms else first
