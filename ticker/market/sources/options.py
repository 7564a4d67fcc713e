"""What a source setting says after the colon: `FILE?name=value&name=value`.

Rules for this module: pure; every fault is a `SourceConfigError` of one line that names
the source and the option, since a person typed it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from ticker.limits import NEAREST_MATCHES
from ticker.market.sources import SourceConfigError

__all__ = ["nearest", "parse_options"]


def parse_options(source: str, text: str, known: Iterable[str]) -> Mapping[str, str]:
    """Read `a=1&b=2`.

    Raises:
        SourceConfigError: an option that is unknown, is named twice or has no value.
    """
    if not text:
        return {}
    names = sorted(known)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise SourceConfigError(f"{source}: options look like name=value, not {text!r}") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            offered = f"it has: {', '.join(names)}" if names else "it has none"
            raise SourceConfigError(f"{source}: no option is called {name!r}; {offered}")
        if name in found:
            raise SourceConfigError(f"{source}: the option {name} is given twice")
        if not value:
            raise SourceConfigError(f"{source}: the option {name} has no value")
        found[name] = value
    return found


def nearest(unknown: str, known: Iterable[str]) -> str:
    """Say what an unknown symbol may have been meant to be, as in `; nearest: BTC-USD, BTC-EUR`."""
    matches = difflib.get_close_matches(unknown, list(known), n=NEAREST_MATCHES, cutoff=0.5)
    return f"; nearest: {', '.join(matches)}" if matches else ""
