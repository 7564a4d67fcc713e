"""The demo key: something to try Ticker with before a key is made.

Rules for this module: the key is good only while the database holds no other key, and is the
one secret kept in the clear, in `<data dir>/demo-api-key` with mode 0600, so that it is the
same at each start. The caller logs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from ticker.security.secrets_file import (
    DEMO_KEY_FILE,
    ExposedSecretError,
    SecretFileError,
    read_line,
    write_line,
)
from ticker.storage import keys
from ticker.storage.interface import Database
from ticker.storage.keys import KeyRecord

DEMO_USER: Final = "demo"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the demo key.

    Attributes:
        key: the demo key from now on; None for none.
        new: whether the database lacks it, and the file may.
        over: the demo keys that end.
    """

    key: ParsedKey | None
    new: bool
    over: tuple[KeyRecord, ...]


def decide(
    kept: ParsedKey | None,
    record: KeyRecord | None,
    live: Sequence[KeyRecord],
    *,
    wanted: bool,
    pepper: bytes,
) -> Decision:
    """Decide what becomes of the demo key; changes nothing.

    Args:
        kept: the key in the file, where it holds one.
        record: what the database knows of that key.
        live: the demo keys in the database that were not revoked.
        wanted: whether there is to be a demo key at all.
        pepper: of the key hashes.
    """
    if not wanted:
        return Decision(None, new=False, over=tuple(live))
    # A key that the database does not know is kept: the database was removed, the file was not.
    usable = kept is not None and (
        record is None
        or (record.revoked_at is None and same_hash(hash_key(kept, pepper), record.hash))
    )
    key = kept if kept is not None and usable else new_key()
    over = tuple(demo for demo in live if demo.id != key.key_id)
    return Decision(key, new=record is None or not usable, over=over)


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
        SecretFileError: the file cannot be written, or may be in the hands of others.
    """
    path = data_dir / DEMO_KEY_FILE
    kept = _kept(path)
    made = None
    with database.write() as connection:
        decision = decide(
            kept,
            None if kept is None else keys.find(connection, kept.key_id),
            keys.live_demo(connection),
            wanted=enabled and not keys.any_real(connection),
            pepper=pepper,
        )
        for demo in decision.over:
            keys.revoke(connection, demo.id, now())
        if decision.key is not None and decision.new:
            made = record_of(decision.key, pepper, DEMO_USER, DEFAULT_ROLE, now(), demo=True)
            keys.add(connection, made)
            # Before the commit: a key in the file that the database lacks is mended at the
            # next start, a key in the database that is in no file is not.
            write_line(path, decision.key.text, replace=True)
    if made is not None:
        log_created(made)
    for demo in decision.over:
        _log.info("api_key_revoked", key_id=demo.id, user=demo.user, reason="demo_over")
    if decision.key is None:
        forget_demo_key(data_dir)
        return None
    return decision.key.text


def forget_demo_key(data_dir: Path) -> None:
    """Remove the file of a demo key that no longer works."""
    path = data_dir / DEMO_KEY_FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SecretFileError(f"{path} cannot be removed: {error.strerror}") from None


def _kept(path: Path) -> ParsedKey | None:
    """Read the key in the file; None where there is none that may be used.

    Raises:
        SecretFileError: in its place is what may be in the hands of others.
    """
    try:
        return parse_key(read_line(path) or "")
    except (MalformedKeyError, ExposedSecretError):
        return None
