"""What a status says, in words for a person.

Rules for this module: pure.
"""

from __future__ import annotations

from ticker.client import Status


def trouble(status: Status) -> list[str]:
    """Say what is stale and why: a sentence for all of the source, or for each reason."""
    name = f"{status.source or 'the source'} is stale"
    if not status.symbols:
        return [f"{name}: {status.reason}" if status.reason else name]
    symbols: dict[str, list[str]] = {}
    for symbol in status.symbols:
        symbols.setdefault(status.reasons.get(symbol, status.reason), []).append(symbol)
    return [
        f"{name} in {', '.join(of_it)}" + (f": {reason}" if reason else "")
        for reason, of_it in symbols.items()
    ]
