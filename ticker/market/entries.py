"""The published quotes in one format and detail: each is encoded once, however many topics show it.

Rules for this module: it knows nothing of topics and subscribers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ticker.encodings.encoding import Format
from ticker.market.published import Published
from ticker.protocol.details import Detail


class Entries:
    """The entries of all symbols, brought up to date when they are asked for."""

    __slots__ = ("_detail", "_format", "_published", "_seq", "encoded")

    def __init__(self, published: Published, format_: Format, detail: Detail) -> None:
        self._published = published
        self._format = format_
        self._detail = detail
        self._seq = -1
        self.encoded: list[bytes] = [b""] * len(published.quotes)

    def forget(self) -> None:
        """Let go of everything: what was published may have been replaced by something older."""
        self._seq = -1
        self.encoded[:] = [b""] * len(self.encoded)

    def fresh(self) -> Sequence[bytes]:
        """Return the entry of each place as of the last tick; empty where there is no quote."""
        published = self._published
        if self._seq != published.seq:
            encoded, detail = self.encoded, self._detail
            shown, entry = published.shown, self._format.entry
            for place in published.changed_since(self._seq, detail):
                quote = shown(place, detail)
                assert quote is not None  # noqa: S101 - it has changed
                encoded[place] = entry(quote, detail)
            self._seq = published.seq
        return self.encoded
