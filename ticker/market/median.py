"""One price out of several: the median of those that agree.

Rules for this module: pure. A price is left out where it is further from the median of all
than `OUTLIER_DEVIATIONS` times the median absolute deviation, and at least `OUTLIER_PART` of the
median: the first follows how far the exchanges are apart at this moment, the second keeps three
that agree to the cent from losing one for a cent. Of those that are left the median is taken: two
give their mean, one gives itself.

Two prices are never outliers of each other. Of three, of which two are less than
`OUTLIER_PART` apart, the third never moves the price beyond those two. A price is at most as far
from the one before as all the prices of both moments are apart.

What the sources that count tell besides is combined field by field: the median of each of those
that tell it, and of the volumes the sum, so that a bid is never above its ask where it is so at no
source. A figure that only some of them tell is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from functools import reduce
from typing import Final

import attrs

from ticker.market.quote import Details

__all__ = ["OUTLIER_DEVIATIONS", "OUTLIER_PART", "Combined", "combine", "combine_details"]

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


def combine_details(several: Iterable[Details | None]) -> Details | None:
    """Return what several sources tell besides the price; None where none tells anything.

    Bid and ask are of those that tell both. The change is left out, since it follows from the
    price of all and what it was 24 hours ago.
    """
    found = [details for details in several if details is not None]
    if not found:
        return None
    sided = [each for each in found if each.bid is not None and each.ask is not None]
    volumes = [each.volume_24h for each in found if each.volume_24h is not None]
    return Details(
        bid=_middle(each.bid for each in sided),
        ask=_middle(each.ask for each in sided),
        open_24h=_middle(each.open_24h for each in found),
        high_24h=_middle(each.high_24h for each in found),
        low_24h=_middle(each.low_24h for each in found),
        volume_24h=reduce(_EXACT.add, volumes) if volumes else None,
    )


def _middle(values: Iterable[Decimal | None]) -> Decimal | None:
    known = sorted(value for value in values if value is not None)
    return _median(known) if known else None
