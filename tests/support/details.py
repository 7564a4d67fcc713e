"""What a quote tells besides the price, written short."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ticker.market.quote import Details
from ticker.protocol.details import FULL_FIELDS


def details(numbers: str) -> Details:
    """Return details by their numbers: bid, ask, open, high, low, volume, change; `-` for none."""
    known = dict(zip(FULL_FIELDS, numbers.split(), strict=False))
    return msgspec.convert({k: Decimal(v) for k, v in known.items() if v != "-"}, Details)
