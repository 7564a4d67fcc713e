"""The condition of the sources: which of them are live, and which symbols have no good price.

Rules for this module: values only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

import attrs

#: What a source is stale for, where it is stale in several symbols for several reasons.
SEVERAL: Final = "several reasons"


@attrs.frozen
class SourceState:
    """What is to be said of one source.

    Attributes:
        source: its name.
        state: `live` from its first fresh price until it stops, while it has a good price of
            every symbol that no other source has one of.
        since: when that began, in milliseconds since the epoch; where it is stale, when the
            last price was proved, or when the service began where there was none yet.
        reason: why it is stale: `starting`, `crashed`, `ended`, or what all `reasons` have in
            common.
        reasons: where it is stale in some symbols only: those, and why.
    """

    source: str
    state: Literal["live", "stale"]
    since: int
    reason: str = ""
    reasons: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that it is stale in; none where it is live, or stale altogether."""
        return tuple(self.reasons)

    def among(self, known: Collection[str]) -> SourceState:
        """Return it as it is to a user for whom there are no other symbols than these."""
        if not self.reasons:
            return self
        reasons = {symbol: why for symbol, why in self.reasons.items() if symbol in known}
        if reasons:
            return attrs.evolve(self, reason=common(reasons.values()), reasons=reasons)
        return attrs.evolve(self, state="live", reason="", reasons={})


def common(reasons: Iterable[str]) -> str:
    """Return the one reason that there is, or that there are several."""
    distinct = set(reasons)
    return distinct.pop() if len(distinct) == 1 else SEVERAL


@attrs.frozen
class Condition:
    """What is to be said of all sources and prices at one moment.

    Attributes:
        states: of each source, the most preferred first.
        stale: the symbols that have no good price, and why.
        live: whether any source runs and has brought prices.
        fresh: whether any symbol has a good price.
    """

    states: tuple[SourceState, ...]
    stale: Mapping[str, str]
    live: bool
    fresh: bool

    def lost(self, symbols: Collection[str], since: int, reason: str) -> Condition:
        """Return what is left of it where nothing more is heard of the sources.

        Args:
            symbols: all there are.
            since: when that began, in milliseconds since the epoch.
            reason: why.
        """
        states = tuple(
            each
            if each.state == "stale" and not each.reasons
            else SourceState(each.source, "stale", since, reason)
            for each in self.states
        )
        stale = {symbol: self.stale.get(symbol, reason) for symbol in symbols}
        return Condition(states, stale, live=False, fresh=False)
