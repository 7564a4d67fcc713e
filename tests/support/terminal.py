"""A program on a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 30.0
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """The terminal of a program, and the program."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the last program on it has ended
            while data := os.read(self._descriptor, 65536):
                self._shown.extend(data)

    @property
    def shown(self) -> str:
        """All that was ever shown, with what moves the cursor and colours left out."""
        return _CONTROL.sub("", bytes(self._shown).decode("utf-8", "replace"))

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Make the window larger or smaller."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, size)

    def wait(self) -> int:
        """Wait for the program's end; return its exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code


@contextmanager
def on_terminal(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    size: tuple[int, int] = (100, 24),
) -> Iterator[Terminal]:
    """Run a program on a terminal of so many columns and lines until the block is left."""
    ours, theirs = pty.openpty()
    # `setsid --ctty` makes the terminal its own, so that it may read keys from it.
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        env={**env, "TERM": "xterm-256color"},
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    terminal.resize(*size)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
        process.wait()
        os.close(ours)
