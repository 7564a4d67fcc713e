"""Names that join two currencies without a sign between them, as `ADAEUR`, split for recordings.

A live feed needs no guess: it maps back from what was asked for. A recording does not say where to
split, so that a name is split before the first of an exchange's usual quote currencies that it
ends with. Rules for this module: pure.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["split_joined"]


def split_joined(name: str, quotes: Sequence[str]) -> str:
    """Return our symbol for a joined name; the name itself where no quote currency ends it.

    Args:
        name: in capital letters.
        quotes: what is traded against, of those that end alike the usual one first.
    """
    for asset in quotes:
        if name.endswith(asset) and name != asset:
            return f"{name.removesuffix(asset)}-{asset}"
    return name
