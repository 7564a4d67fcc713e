"""The demo key: something to try Ticker with before anybody made a key.

Rules for this module: the key is good only while the database holds no other key, and is the
one secret kept in the clear, in `<data dir>/demo-api-key` with mode 0600, so that it is the
same at each start. The caller logs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from ticker.security.key_admin import log_created, record_of
from ticker.security.keys import (
    MalformedKeyError,
    ParsedKey,
    hash_key,
    new_key,
    parse_key,
    same_hash,
)
from ticker.security.policy import DEFAULT_ROLE
from ticker.security.secrets_file import SecretFileError, read_line, write_line
from ticker.storage import keys
from ticker.storage.database import Database

DEMO_KEY_FILE: Final = "demo-api-key"
DEMO_USER: Final = "demo"
_log = structlog.get_logger()


def ensure_demo_key(
    database: Database,
    data_dir: Path,
    *,
    pepper: bytes,
    enabled: bool,
    now: Callable[[], float] = time.time,
) -> str | None:
    """Make the demo key what it should be at start; return it where it is good.

    Args:
        database: migrated.
        data_dir: where its file is.
        pepper: of the key hashes.
        enabled: whether the settings want one (`auto`) while there is no other key.
        now: the clock, in seconds since the epoch.

    Returns:
        The demo key, while it is the only one; None where it is not wanted, and does not work.

    Raises:
        DatabaseUnavailableError: something is wrong with the database.
        SecretFileError: the file cannot be written.
    """
    path = data_dir / DEMO_KEY_FILE
    made = None
    with database.write() as connection:
        wanted = enabled and not keys.any_real(connection)
        kept = _kept(path) if wanted else None
        if kept is not None:
            record = keys.find(connection, kept.key_id)
            if record is None:
                made = kept  # the database was removed, the file was not
            elif record.revoked_at is not None or not same_hash(
                hash_key(kept, pepper), record.hash
            ):
                kept = None
        if wanted and kept is None:
            kept = made = new_key()
        over = [
            demo for demo in keys.live_demo(connection) if kept is None or demo.id != kept.key_id
        ]
        for demo in over:
            keys.revoke(connection, demo.id, now())
        if kept is not None and made is not None:
            stored = record_of(made, pepper, DEMO_USER, DEFAULT_ROLE, now(), demo=True)
            keys.add(connection, stored)
            # Before the commit: a key in the file that the database lacks is mended at the
            # next start, a key in the database that nobody has is not.
            write_line(path, kept.text, replace=True)
    if made is not None:
        log_created(stored)
    for demo in over:
        _log.info("api_key_revoked", key_id=demo.id, user=demo.user, reason="demo_over")
    if kept is None:
        forget_demo_key(data_dir)
        return None
    return kept.text


def forget_demo_key(data_dir: Path) -> None:
    """Remove the file of a demo key that no longer works."""
    path = data_dir / DEMO_KEY_FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SecretFileError(f"{path} cannot be removed: {error.strerror}") from None


def _kept(path: Path) -> ParsedKey | None:
    """Read the key in the file; None where there is none that may be used."""
    try:
        return parse_key(read_line(path) or "")
    except (MalformedKeyError, SecretFileError):
        return None
