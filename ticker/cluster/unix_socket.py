"""Unix sockets in the data directory, however long its path is, closed to other users."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ticker import limits

#: `sun_path` of unix(7) holds 108 bytes, the closing zero among them.
_PATH_BYTES: Final = 107


def listen(path: Path, kind: socket.SocketKind) -> socket.socket:
    """Listen on a path, in the place of what is there; non-blocking.

    Raises:
        OSError: the socket cannot be made.
    """
    listening = socket.socket(socket.AF_UNIX, kind)
    try:
        with _reachable(path) as address:
            # A process that was killed left it, or one that is about to end.
            Path(address).unlink(missing_ok=True)
            listening.bind(address)
            Path(address).chmod(0o600)
        listening.listen(limits.WORKERS_MOST)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def connect(path: Path, kind: socket.SocketKind) -> socket.socket:
    """Connect to a path at once; non-blocking.

    Raises:
        OSError: nothing listens there, or too many wait to be accepted.
    """
    connected = socket.socket(socket.AF_UNIX, kind)
    try:
        connected.settimeout(0)
        with _reachable(path) as address:
            connected.connect(address)
    except OSError:
        connected.close()
        raise
    return connected


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Give a form of a path that is short enough for a Unix socket's address."""
    if len(os.fsencode(path)) <= _PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
