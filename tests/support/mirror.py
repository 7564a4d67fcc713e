"""A client's book, which applies frames as docs/protocol.md says and checks that it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Mirror:
    """What a subscriber of `changes` or `every` holds.

    Attributes:
        book: the entry of each symbol.
        seq: as of which tick; None before the first frame.
        frames: the frames that were applied.
    """

    def __init__(self) -> None:
        self.book: dict[str, dict[str, Any]] = {}
        self.seq: int | None = None
        self.frames: list[dict[str, Any]] = []

    def apply(self, frame: dict[str, Any]) -> None:
        """Take one frame in."""
        entries = {entry["symbol"]: entry for entry in frame["data"]}
        assert len(entries) == len(frame["data"]), frame
        if frame.get("snapshot"):
            assert "prev" not in frame, frame
            assert self.seq is None or frame["seq"] >= self.seq, (self.seq, frame)
            self.book = entries
        else:
            assert self.seq is not None, "changes of what no snapshot came before"
            assert frame["prev"] <= self.seq <= frame["seq"], (self.seq, frame)
            self.book |= entries
        self.seq = frame["seq"]
        self.frames.append(frame)

    def apply_all(self, frames: Iterable[dict[str, Any]]) -> None:
        """Take several frames in."""
        for frame in frames:
            self.apply(frame)
