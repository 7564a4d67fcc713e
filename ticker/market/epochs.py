"""Epochs: under which name each sequence number was given, and which of them are proved.

Sequence numbers run on when another process takes the market over, but what two processes
publish under one number may differ where the earlier one was cut short. So each of them draws an
epoch of its own, and a number counts only with its epoch. The process that takes over names the
number from which on it speaks; the numbers before are proved for the epoch before, as far as the
new one had heard it.

Rules for this module: values only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from ticker import limits

#: Bytes of chance in an epoch: no two of them are ever alike.
_EPOCH_BYTES = 8


def new_epoch() -> str:
    """Draw an epoch."""
    return secrets.token_hex(_EPOCH_BYTES)


class Span(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An epoch, and the first sequence number that was given in it.

    It goes on up to the first number of the next span, or to the last tick.
    """

    epoch: str
    first: int


class Epochs:
    """The epochs of one line of sequence numbers, the newest last.

    Attributes:
        spans: each epoch with its first number, in order.
    """

    __slots__ = ("spans",)

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans: tuple[Span, ...] = tuple(spans)

    @property
    def current(self) -> Span:
        """The newest epoch."""
        return self.spans[-1]

    def begin(self, epoch: str, first: int) -> None:
        """Go on in another epoch from a sequence number on."""
        kept = tuple(span for span in self.spans if span.first < first)
        self.spans = (*kept, Span(epoch, first))[-limits.EPOCHS_KEPT :]

    def span(self, seq: int) -> Span:
        """Return the span that a sequence number was given in, or will be."""
        for span in reversed(self.spans):
            if seq >= span.first:
                return span
        return self.spans[0]

    def proves(self, epoch: str, seq: int, last: int) -> bool:
        """Say whether a number was given in an epoch on this line, the last tick being `last`."""
        end = last + 1
        for span in reversed(self.spans):
            if span.epoch == epoch:
                return span.first <= seq < end
            end = span.first
        return False
