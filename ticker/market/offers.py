"""Who may price a symbol: the sources that are asked for it, and in which currency.

Rules for this module: pure. A source that quotes in another currency than a symbol says (its
substitute, as BTC-USDT for BTC-USD) may price it only where no source quotes in the symbol's
own, or where the fallback is allowed; its quotes then say so in `source`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import attrs

from ticker.market.quote import Quote

__all__ = ["Offer", "Offering", "offers_of"]


@attrs.frozen
class Offering:
    """What a source may be asked for.

    Attributes:
        name: the source's name.
        symbols: those that it quotes.
        substitutes: which of them it quotes in another currency, and as what.
    """

    name: str
    symbols: Collection[str]
    substitutes: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Offer:
    """What one source last said of one symbol.

    Attributes:
        source: the source's name.
        label: what a quote of it names as its source: with the pair where that is another one.
        native: whether it quotes in the symbol's own currency.
        eligible: whether its price may be shown.
        quote: the last one, None before the first.
        proved_ms: when that was last proved to be the symbol's last price.
        fresh_since_ms: since when it has been fresh without a break.
        lost_ms: when its source stopped, None while it runs.
        reason: what the source has against the symbol, None where nothing.
    """

    source: str
    label: str
    native: bool
    eligible: bool
    quote: Quote | None = None
    proved_ms: int = 0
    fresh_since_ms: int = 0
    lost_ms: int | None = None
    reason: str | None = None


def offers_of(
    symbol: str, offerings: Sequence[Offering], fallback_quotes: Literal["same", "stable"]
) -> list[Offer]:
    """Return an empty offer of each source that is asked for a symbol.

    Args:
        symbol: the symbol, which one of the sources must be asked for.
        offerings: all sources, the most preferred first.
        fallback_quotes: `same`, or `stable`: sources of another currency may stand in.

    Returns:
        Those of the symbol's own currency first, and in each currency the most preferred first.
    """
    asked = [each for each in offerings if symbol in each.symbols]
    native = [each for each in asked if _currency(each, symbol) == symbol.rpartition("-")[2]]
    ordered = native + [each for each in asked if each not in native]
    first = _currency(ordered[0], symbol)
    return [
        Offer(
            each.name,
            _label(each, symbol),
            native=each in native,
            eligible=fallback_quotes == "stable" or _currency(each, symbol) == first,
        )
        for each in ordered
    ]


def _currency(offering: Offering, symbol: str) -> str:
    return offering.substitutes.get(symbol, symbol).rpartition("-")[2]


def _label(offering: Offering, symbol: str) -> str:
    """Return what a quote names as its source: with the pair where that is another one."""
    substitute = offering.substitutes.get(symbol)
    return offering.name if substitute is None else f"{offering.name}:{substitute}"
