"""The files and the directory that other users of the machine must keep out of.

Rules for this module: a file is opened without following a link, and looked at through its
descriptor, before anything about it is changed.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class UnsafeFileError(Exception):
    """A file or a directory may be in the hands of others; the text says what to do."""


def make_directory(path: Path) -> None:
    """Make the data directory with mode 0700 where there is none, and look at whose it is.

    Where others may read it, that is logged: the secrets in it have modes of their own.

    Raises:
        UnsafeFileError: others may write to it, or it belongs to another user.
        OSError: it cannot be made or looked at.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    _refuse_foreign(path, status)
    if status.st_mode & _OTHERS_WRITE:
        raise UnsafeFileError(
            f"other users may write to {path} (mode {stat.S_IMODE(status.st_mode):o}): "
            f"close it with chmod 700"
        )
    if status.st_mode & OTHERS:
        log.warning("data_directory_readable", path=str(path), hint="close it with chmod 700")


def open_private(path: Path, flags: int) -> int:
    """Open a plain file of this user, close it to others, and return its descriptor.

    Args:
        path: the file.
        flags: of `os.open`, as `os.O_RDWR | os.O_CREAT`; a new file has mode 0600.

    Raises:
        UnsafeFileError: it is a link, no plain file, or belongs to another user.
        OSError: it cannot be opened.
    """
    try:
        # Not to be kept waiting where there is a pipe instead.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFileError(f"{path} is a symbolic link: name the file itself") from None
        raise
    try:
        status = os.fstat(descriptor)
        refuse_unsafe(path, status)
        if status.st_mode & OTHERS:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refuse_unsafe(path: Path, status: os.stat_result) -> None:
    """Refuse what is no plain file, or belongs to another user.

    Raises:
        UnsafeFileError: it does.
    """
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFileError(f"{path} is no plain file")
    _refuse_foreign(path, status)


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    # What belongs to root is in the hands of one who can do anything anyway.
    if status.st_uid not in {os.geteuid(), 0}:
        raise UnsafeFileError(
            f"{path} belongs to another user (uid {status.st_uid}): give it to the one that "
            f"runs Ticker (uid {os.geteuid()}) with chown, or name another"
        )
