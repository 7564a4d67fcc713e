"""What is given to, and told by, the choice between sources."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["SelectionRules", "SelectionStatistics", "StaleSymbol"]


@attrs.frozen(kw_only=True)
class SelectionRules:
    """How to choose.

    Attributes:
        strategy: `first` or `median`.
        fallback_quotes: `same`, or `stable`: a substitute may stand in.
        age_limit_ms: how old the last proof of a price may be.
        grace_ms: how long the last price of a source that stopped still stands.
        recover_ms: how long a source must be fresh without a break to get a symbol back.
    """

    strategy: Literal["first", "median"] = "first"
    fallback_quotes: Literal["same", "stable"] = "same"
    age_limit_ms: int
    grace_ms: int
    recover_ms: int


@attrs.frozen
class StaleSymbol:
    """A symbol that has no good price, as one of its sources sees it.

    Attributes:
        symbol: its name.
        source: the source's.
        reason: why the source has none, in words.
        since_ms: when its price was last proved there, in milliseconds since the epoch; None
            where it never had one.
    """

    symbol: str
    source: str
    reason: str
    since_ms: int | None


@attrs.frozen
class SelectionStatistics:
    """What has been decided.

    Attributes:
        holders: what each symbol's price names as its source.
        changes: how often a symbol went from one source to another.
        turned_away: by source, the quotes that did not go to the book.
    """

    holders: dict[str, str]
    changes: int
    turned_away: dict[str, int]
