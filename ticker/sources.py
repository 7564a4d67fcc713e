"""What the author of a source of prices needs; `docs/sources.md` shows how to write one.

This is the public name of it: it stays where it is, wherever the parts live.
"""

from __future__ import annotations

from ticker.market.quote import Details, Quote
from ticker.market.sources import (
    Batch,
    Source,
    SourceConfigError,
    SourceContext,
    SourceError,
    UnknownSymbolError,
    open_batches,
)

__all__ = [
    "Batch",
    "Details",
    "Quote",
    "Source",
    "SourceConfigError",
    "SourceContext",
    "SourceError",
    "UnknownSymbolError",
    "open_batches",
]
