"""Bars as they are shown: ours and, where there is none, the exchange's own, as plain decimals.

Rules for this module: pure. An hour of which some minutes are ours and some the exchange's is the
fold of the minutes of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from ticker.market.bars import UNKNOWN, Bar, Series, fold
from ticker.market.steps import HOUR, MINUTE, Step

__all__ = ["Kept", "ShownBar", "end_of", "merged", "written"]

#: Bars by the name of their step.
Kept: TypeAlias = Mapping[str, Series]


class ShownBar(msgspec.Struct, frozen=True, gc=False):
    """A bar as it is shown.

    Attributes:
        begin: in milliseconds since the epoch.
        prices: open, high, low and close, as plain decimals.
        volume: in the base currency, as a plain decimal; None where it is not known.
        theirs: whether any of it is of the exchange's own bars.
    """

    begin: int
    prices: tuple[str, str, str, str]
    volume: str | None
    theirs: bool


def end_of(ours: Kept, theirs: Kept, step: Step, first: int) -> int:
    """Return the time after the newest bar of a step, or `first` where there is none.

    An hour may be there by an exchange's minutes alone.
    """
    kept = [ours[step.name], theirs.get(step.name)]
    if step is HOUR:
        kept.append(theirs.get(MINUTE.name))
    begins = [series.last_begin() for series in kept if series is not None]
    newest = max((begin for begin in begins if begin is not None), default=None)
    return first if newest is None else step.begin(newest) + step.ms


def merged(ours: Kept, theirs: Kept, step: Step, begin: int, end: int) -> list[tuple[Bar, bool]]:
    """Return ours and, where there is none, theirs, and for each whether any of it is theirs.

    Bars are chosen by when they begin; what they say does not depend on `begin` and `end`.
    """
    other = theirs.get(step.name)
    found = {} if other is None else {bar[0]: (bar, True) for bar in other.between(begin, end)}
    found.update((bar[0], (bar, False)) for bar in ours[step.name].between(begin, end))
    if step is HOUR and MINUTE.name in theirs:
        found.update(_hours_of_both(ours, theirs, begin, end))
    return [found[time] for time in sorted(found)]


def _hours_of_both(
    ours: Kept, theirs: Kept, begin: int, end: int
) -> Iterator[tuple[int, tuple[Bar, bool]]]:
    """Fold the hours, beginning in that time, of which some minutes are theirs."""
    minutes = theirs[MINUTE.name]
    complete = max(ours[MINUTE.name].complete_from, minutes.complete_from)
    whole = (_next_hour(begin), _next_hour(end))  # all minutes of those hours
    for hour in {HOUR.begin(number * MINUTE.ms) for number in minutes.columns(*whole)[0]}:
        if hour < complete:
            continue
        both = merged(ours, theirs, MINUTE, hour, hour + HOUR.ms)
        if any(marked for _, marked in both):
            yield hour, (fold([bar for bar, _ in both], hour), True)


def _next_hour(time_ms: int) -> int:
    """Return when the first hour begins that begins at a time or later."""
    return HOUR.begin(time_ms + HOUR.ms - 1)


def written(
    bars: Iterable[tuple[Bar, bool]], places: int, volume_places: int
) -> Iterator[ShownBar]:
    """Write bars, one by one.

    Args:
        bars: in units, and for each whether any of it is theirs.
        places: the decimals of a unit of the price.
        volume_places: those of a unit of the volume.
    """
    for (begin, opening, high, low, close, volume), theirs in bars:
        yield ShownBar(
            begin,
            (
                _text(opening, places),
                _text(high, places),
                _text(low, places),
                _text(close, places),
            ),
            None if volume == UNKNOWN else _text(volume, volume_places),
            theirs,
        )


def _text(units: int, places: int) -> str:
    if not places:
        return str(units)
    digits = str(units).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"
