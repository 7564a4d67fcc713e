"""One price out of several: the median of those that agree.

Rules for this module: pure. A price is left out where it is further from the median of all
than `OUTLIER_DEVIATIONS` times the median absolute deviation, and at least `OUTLIER_PART` of the
median: the first follows how far the exchanges are apart at this moment, the second keeps three
that agree to the cent from losing one for a cent. Of those that are left the median is taken: two
give their mean, one gives itself.

Two prices are never outliers of each other. Of three, of which two are less than
`OUTLIER_PART` apart, the third never moves the price beyond those two. A price is at most as far
from the one before as all the prices of both moments are apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Final

import attrs

__all__ = ["OUTLIER_DEVIATIONS", "OUTLIER_PART", "Combined", "combine"]

#: For prices spread like a bell, three median absolute deviations are two standard deviations.
OUTLIER_DEVIATIONS: Final = 3
#: Exchanges of one currency are within a tenth of this in quiet times.
OUTLIER_PART: Final = Decimal("0.005")

#: Prices have at most 28 digits, so their mean has 29, and all of them are kept.
_EXACT: Final = Context(prec=60)


@attrs.frozen
class Combined:
    """A price of several.

    Attributes:
        price: the price.
        counted: whether each of those given was counted, in their order.
    """

    price: Decimal
    counted: tuple[bool, ...]


def _median(ordered: Sequence[Decimal]) -> Decimal:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return _EXACT.divide(_EXACT.add(ordered[middle - 1], ordered[middle]), Decimal(2))


def combine(prices: Sequence[Decimal]) -> Combined:
    """Return the price of several; at least one must be given."""
    median = _median(sorted(prices))
    distances = [abs(_EXACT.subtract(price, median)) for price in prices]
    most = max(OUTLIER_DEVIATIONS * _median(sorted(distances)), Decimal(0))
    least = _EXACT.multiply(OUTLIER_PART, median)
    counted = tuple(distance <= most or distance < least for distance in distances)
    kept = sorted(price for price, counts in zip(prices, counted, strict=True) if counts)
    return Combined(_median(kept), counted)
