"""Secrets that the service makes for itself, kept in the data directory.

Rules for this module: every file has mode 0600 and is complete from the moment its name
exists, whatever dies when; of two processes that make one at once, both get the same.

The content is one line of text. It appears whole because it is written and synced under
another name first, then linked to its own: `link` fails where the name is taken.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ticker import limits
from ticker.storage.files import OTHERS, UnsafeFileError, refuse_unsafe

TOKEN_KEY_FILE: Final = "token-key"  # noqa: S105 - a file's name
PEPPER_FILE: Final = "key-pepper"
DEMO_KEY_FILE: Final = "demo-api-key"
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class SecretFileError(Exception):
    """A secret cannot be kept or read; the text is one line that says what to do."""


class ExposedSecretError(SecretFileError):
    """A secret may have been read by other users."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredSecret:
    """A secret from a file.

    Attributes:
        path: where it is kept.
        value: 32 bytes.
        made: whether it was made just now.
    """

    path: Path
    value: bytes = field(repr=False)
    made: bool


def token_key(data_dir: Path) -> StoredSecret:
    """Read the made-up token key, or make it. Raises SecretFileError."""
    return _load_or_make(data_dir / TOKEN_KEY_FILE)


def pepper(data_dir: Path) -> StoredSecret:
    """Read the pepper of the key hashes, or make it. Raises SecretFileError."""
    return _load_or_make(data_dir / PEPPER_FILE)


def _load_or_make(path: Path) -> StoredSecret:
    line = read_line(path)
    made = line is None
    if line is None:
        write_line(path, secrets.token_hex(32), replace=False)
        line = read_line(path)
    if line is None or not _HEX.fullmatch(line):
        raise SecretFileError(
            f"{path} does not hold a secret that Ticker made: restore it from a backup, "
            f"or delete it to have a new one made"
        )
    return StoredSecret(path, bytes.fromhex(line), made)


def read_line(path: Path) -> str | None:
    """Read the one line of a secret file; None where there is no such file.

    Raises:
        ExposedSecretError: it is open to other users.
        SecretFileError: it cannot be read, is no plain file, or belongs to another user, who
            knows what it holds.
    """
    try:
        # Not to be kept waiting where there is a pipe instead.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor is no path
            status = os.fstat(descriptor)
            refuse_unsafe(path, status)
            if status.st_mode & OTHERS:
                raise ExposedSecretError(
                    f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):o}): "
                    f"close it with chmod 600, or delete it to have a new one made"
                )
            content = file.read(limits.SECRET_FILE_BYTES)
    except FileNotFoundError:
        return None
    except UnsafeFileError as error:
        raise SecretFileError(str(error)) from None
    except OSError as error:
        why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise SecretFileError(f"{path} cannot be read: {why}") from None
    # Anything but ASCII is garbage, which the caller tells from a secret.
    return content.decode("ascii", "replace").removesuffix("\n")


def write_line(path: Path, line: str, *, replace: bool) -> None:
    """Write a secret file of one line, durably and whole.

    Args:
        path: its name; the directory is made with mode 0700 where there is none.
        line: the secret.
        replace: whether a file of that name gives way; otherwise it stays as it is.

    Raises:
        SecretFileError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - as above
                file.write(f"{line}\n")
                file.flush()
                os.fsync(descriptor)
            if replace:
                draft.replace(path)
            else:
                path.hardlink_to(draft)
        except FileExistsError:
            pass  # another process was first: its secret counts
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise SecretFileError(f"{path} cannot be written: {error.strerror}") from None


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
