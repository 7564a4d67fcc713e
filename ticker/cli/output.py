"""Standard output that is closed, full, or cannot show a character: one line, no traceback."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import click


class OutputError(Exception):
    """Standard output cannot be written; the text says why.

    It is no `OSError`, since click and rich end the process by themselves where a pipe broke.

    Attributes:
        reader_has_gone: whether it is a pipe, and what read from it has seen enough.
    """

    def __init__(self, reason: str, *, reader_has_gone: bool = False) -> None:
        super().__init__(reason)
        self.reader_has_gone = reader_has_gone


class _Guarded:
    """Standard output, whose errors are told from all others."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str, /) -> int:
        """Write as the stream does."""
        with writing():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush as the stream does."""
        with writing():
            self._stream.flush()


class _Closed(io.TextIOBase):
    """Stands for standard output where there is none, and refuses what is written."""

    def write(self, _text: str, /) -> int:
        """Refuse it."""
        raise OutputError("it is closed")


@contextmanager
def writing() -> Iterator[None]:
    """Turn what fails within the block, a write to standard output, into an `OutputError`."""
    try:
        yield
    except OSError as error:
        gone = isinstance(error, BrokenPipeError)
        raise OutputError(error.strerror or str(error), reader_has_gone=gone) from None


@contextmanager
def guarded() -> Iterator[None]:
    """Let no character be a fault until the block is left, and what cannot be written be one."""
    before = sys.stdout
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    sys.stdout = cast("TextIO", _Closed() if before is None else _Guarded(before))
    try:
        yield
    except OutputError:
        before = cast("TextIO", None)  # Python would write once more as it exits, and complain
        raise
    finally:
        sys.stdout = before


def complain(text: str) -> None:
    """Write a line to standard error, where that is possible."""
    with suppress(OSError):
        click.echo(text, err=True)
