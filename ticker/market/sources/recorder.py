"""Writing down what an exchange says, in the format that the replay source plays back.

Rules: one message a line, `{"received": <seconds since the epoch>, "message": <as received>}`,
each line handed to the system whole, in one write: whenever the recorder is cut off, even
by `kill -9`, every line but perhaps the last is whole, and a torn last line is passed over by
the replay and closed off by the next recording. Files are bounded in size and number.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from ticker.limits import CAPTURE_FILE_BYTES, CAPTURE_FILES, REPLAY_LINE_BYTES
from ticker.market.exchanges.decoding import UNREADABLE, BadMessage
from ticker.market.sources.replay import parse_line

__all__ = ["CaptureError", "CaptureWriter"]


class CaptureError(Exception):
    """A capture cannot be written there. The text is one line, for the person who asked."""


class CaptureWriter:
    """Appends to a capture; a context manager that opens and closes its file.

    When the file is full it becomes `FILE.1`, what was `FILE.1` becomes `FILE.2`, and so on;
    the oldest beyond the limit is deleted. Each of them is a capture by itself.

    Attributes:
        written: how many messages were written.
        skipped: how many were not, since they are no JSON or too long for a line.
        rotations: how often a full file was put aside for a new one.
    """

    def __init__(
        self, path: Path, file_bytes: int = CAPTURE_FILE_BYTES, files: int = CAPTURE_FILES
    ) -> None:
        self._path = path
        self._file_bytes = file_bytes
        self._files = files
        self._file = -1
        self._size = 0
        self.written = 0
        self.skipped = 0
        self.rotations = 0

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            CaptureError: it cannot be opened, or holds something else than a capture.
        """
        try:
            self._check_is_capture()
            self._open()
        except OSError as error:
            raise CaptureError(f"{self._path} cannot be written: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self._file)

    def write(self, message: bytes | str, received_ms: int) -> None:
        """Append one message; one that cannot be a line's is counted and passed over.

        Raises:
            CaptureError: the file cannot be written any more, as on a full disk.
        """
        try:
            compact = msgspec.json.format(message, indent=-1)
        except UNREADABLE:
            self.skipped += 1
            return
        content = compact.encode() if isinstance(compact, str) else compact
        line = b'{"received":%d.%03d,"message":%b}\n' % (*divmod(received_ms, 1000), content)
        if len(line) > REPLAY_LINE_BYTES:
            self.skipped += 1
            return
        try:
            if self._size and self._size + len(line) > self._file_bytes:
                self._rotate()
            rest = memoryview(line)
            while rest:  # one write takes it all, unless the disk fills up within the line
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise CaptureError(f"{self._path} cannot be written: {error.strerror}") from None
        self._size += len(line)
        self.written += 1

    def _check_is_capture(self) -> None:
        """Refuse to append to a file that is no recording, named by mistake."""
        if not self._path.exists():
            return
        if not self._path.is_file():
            raise CaptureError(f"{self._path} is not a regular file")
        with self._path.open("rb") as file:
            first = file.readline(REPLAY_LINE_BYTES)
        try:
            if first:
                parse_line(first)
        except BadMessage:
            raise CaptureError(f"{self._path} exists and is no capture") from None

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            os.write(self._file, b"\n")  # an earlier recording was cut off within a line
            self._size += 1

    def _rotate(self) -> None:
        os.close(self._file)
        for number in range(self._files - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._open()
        self.rotations += 1

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
