"""Statements about API keys, over a transaction of `Database.read` or `Database.write`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from ticker import limits
from ticker.storage.interface import Transaction


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One API key as the database knows it. Times are seconds since the epoch."""

    id: str
    hash: bytes = field(repr=False)
    user: str
    role: str
    demo: bool
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    first_used_at: float | None = None
    last_used_at: float | None = None

    def state(self, now: float) -> str:
        """Say `live`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "live"


#: In the order of `KeyRecord`. `user` is a word of SQL's own.
_COLUMNS: Final = tuple(f'"{each.name}"' for each in fields(KeyRecord))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM api_keys"  # noqa: S608 - the names are ours
_ADD: Final = (
    f"INSERT INTO api_keys ({', '.join(_COLUMNS)}) "  # noqa: S608 - as above
    f"VALUES ({', '.join(f':{each.name}' for each in fields(KeyRecord))})"
)


def _records(rows: Iterable[Any]) -> list[KeyRecord]:
    return [
        KeyRecord(id_, bytes(hash_), user, role, bool(demo), *times)
        for id_, hash_, user, role, demo, *times in rows
    ]


def add(transaction: Transaction, record: KeyRecord) -> None:
    """Store a new key."""
    transaction.change(_ADD, **{each.name: getattr(record, each.name) for each in fields(record)})


def find(transaction: Transaction, key_id: str) -> KeyRecord | None:
    """Read one key."""
    return next(iter(_records(transaction.query(f"{_SELECT} WHERE id = :id", id=key_id))), None)


def find_locked(transaction: Transaction, key_id: str) -> KeyRecord | None:
    """Read one key, and keep others from changing it until the transaction ends."""
    query = f"{_SELECT} WHERE id = :id{transaction.row_lock}"
    return next(iter(_records(transaction.query(query, id=key_id))), None)


def listed(transaction: Transaction) -> list[KeyRecord]:
    """Read the newest keys, oldest first."""
    newest = f"{_SELECT} ORDER BY created_at DESC, id LIMIT :most"
    return _records(reversed(transaction.query(newest, most=limits.LIST_ROWS)))


def live_demo(transaction: Transaction) -> list[KeyRecord]:
    """Read the demo keys that were not revoked."""
    return _records(transaction.query(f"{_SELECT} WHERE demo AND revoked_at IS NULL"))


def any_real(transaction: Transaction) -> bool:
    """Whether there is, or ever was, a key besides demo keys."""
    return bool(transaction.query("SELECT 1 FROM api_keys WHERE NOT demo LIMIT 1"))


def mark_used(transaction: Transaction, key_id: str, now: float) -> None:
    """Note that a key was exchanged."""
    transaction.change(
        "UPDATE api_keys SET first_used_at = coalesce(first_used_at, :now), last_used_at = :now "
        "WHERE id = :id",
        id=key_id,
        now=now,
    )


def set_expiry(transaction: Transaction, key_id: str, expires_at: float) -> None:
    """Let a key end at a moment."""
    transaction.change(
        "UPDATE api_keys SET expires_at = :at WHERE id = :id", id=key_id, at=expires_at
    )


def revoke(transaction: Transaction, key_id: str, now: float) -> bool:
    """End a key for good and tell every process; False where it already was revoked.

    Only for a transaction that holds off other writers: it gives the revocation its number.
    """
    changed = transaction.change(
        "UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL",
        id=key_id,
        now=now,
    )
    if changed:
        transaction.change(
            "INSERT INTO revocations (key_id, at) VALUES (:id, :now)", id=key_id, now=now
        )
    return bool(changed)


def claim_pepper(transaction: Transaction, mark: bytes) -> bytes:
    """Read the mark of the pepper in use; the first to ask sets it."""
    for (found,) in transaction.query("SELECT mark FROM pepper_mark"):
        return bytes(found)
    transaction.change("INSERT INTO pepper_mark (mark) VALUES (:mark)", mark=mark)
    return mark
