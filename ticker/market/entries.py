"""The published quotes in one format and detail: each is encoded once, however many topics show it.

Theory of operation. What a tick changed is only noted as due; it is encoded when a topic that
shows it is sent a frame. So a topic of one symbol at every tick does not pay for hundreds beside
it that are shown ten times a second.

Rules for this module: it knows nothing of topics and subscribers.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from ticker.encodings.encoding import Format
from ticker.market.published import Published
from ticker.protocol.details import Detail


class Entries:
    """The entries of all symbols, brought up to date when they are asked for."""

    __slots__ = ("_detail", "_due", "_format", "_published", "_seq", "encoded")

    def __init__(self, published: Published, format_: Format, detail: Detail) -> None:
        self._published = published
        self._format = format_
        self._detail = detail
        self._seq = -1
        self._due: set[int] = set()
        self.encoded: list[bytes] = [b""] * len(published.quotes)

    def forget(self) -> None:
        """Let go of everything: what was published may have been replaced by something older."""
        self._seq = -1
        self._due.clear()
        self.encoded[:] = [b""] * len(self.encoded)

    def fresh(self, places: AbstractSet[int]) -> Sequence[bytes]:
        """Return the entry of each place, those of some places as of the last tick.

        Args:
            places: whose entries are asked for; an older one may stand at every other place.

        Returns:
            The entries; empty where there is no quote.
        """
        published, due = self._published, self._due
        if self._seq != published.seq:
            due.update(published.changed_since(self._seq, self._detail))
            self._seq = published.seq
        encoded, detail = self.encoded, self._detail
        shown, entry = published.shown, self._format.entry
        for place in due & places:
            quote = shown(place, detail)
            assert quote is not None  # noqa: S101 - it has changed
            encoded[place] = entry(quote, detail)
        due -= places
        return encoded
