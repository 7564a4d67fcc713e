"""One entry of the setting `TICKER_SOURCE`: `NAME`, `NAME:ARGUMENT`, `NAME[SYMBOL SYMBOL]`.

Rules for this module: pure. A fault is a `ValueError` with half a sentence that says what was
expected.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from ticker.market.quote import SYMBOL

_ENTRY: Final = re.compile(r"(?P<source>[^\[\]]+?)\s*(?:\[(?P<symbols>[^\[\]]*)\])?", re.DOTALL)


@attrs.frozen
class SourceSpec:
    """A source as a setting names it.

    Attributes:
        source: its name and, after a colon, its argument, as in `replay:FILE`.
        symbols: the symbols to ask it for; empty for all that it has of the market's.
    """

    source: str
    symbols: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that the source is registered under."""
        return self.source.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.source}[{' '.join(self.symbols)}]" if self.symbols else self.source


def parse_spec(text: str) -> SourceSpec:
    """Read one entry; whether there is such a source is for `find_source` to say.

    Raises:
        ValueError: the brackets or a symbol in them are not as they should be.
    """
    text = text.strip()
    if text.startswith("replay:"):
        return SourceSpec(text)  # a file's name may hold anything, and brings its own symbols
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ValueError("expected sources like coinbase or kraken[BTC-USD ETH-USD]")
    if match["symbols"] is None:
        return SourceSpec(match["source"])
    symbols = tuple(match["symbols"].split())
    if not symbols or len(set(symbols)) != len(symbols) or not all(map(SYMBOL.fullmatch, symbols)):
        raise ValueError("expected symbols in brackets, each once, as in kraken[BTC-USD ETH-USD]")
    return SourceSpec(match["source"], symbols)
