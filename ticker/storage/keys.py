"""Statements about API keys, over a connection of `Database.read` or `Database.write`."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from ticker import limits
from ticker.storage.schema import api_keys, pepper_mark, revocations


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


def _record(row: RowMapping) -> KeyRecord:
    return KeyRecord(**row)


def add(connection: Connection, record: KeyRecord) -> None:
    """Store a new key."""
    values = {column.name: getattr(record, column.name) for column in api_keys.columns}
    connection.execute(insert(api_keys).values(values))


def find(connection: Connection, key_id: str) -> KeyRecord | None:
    """Read one key."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings().first()
    return None if row is None else _record(row)


def find_locked(connection: Connection, key_id: str) -> KeyRecord | None:
    """Read one key, and keep others from changing it until the transaction ends."""
    query = select(api_keys).where(api_keys.c.id == key_id).with_for_update(key_share=True)
    row = connection.execute(query).mappings().first()
    return None if row is None else _record(row)


def listed(connection: Connection) -> list[KeyRecord]:
    """Read the newest keys, oldest first."""
    newest = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
    rows = connection.execute(newest.limit(limits.LIST_ROWS)).mappings().all()
    return [_record(row) for row in reversed(rows)]


def live_demo(connection: Connection) -> list[KeyRecord]:
    """Read the demo keys that were not revoked."""
    query = select(api_keys).where(api_keys.c.demo, api_keys.c.revoked_at.is_(None))
    return [_record(row) for row in connection.execute(query).mappings()]


def any_real(connection: Connection) -> bool:
    """Whether there is, or ever was, a key besides demo keys."""
    query = select(func.count()).select_from(api_keys).where(~api_keys.c.demo)
    return bool(connection.execute(query).scalar_one())


def mark_used(connection: Connection, key_id: str, now: float) -> None:
    """Note that a key was exchanged."""
    connection.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id)
        .values(
            first_used_at=func.coalesce(api_keys.c.first_used_at, now),
            last_used_at=now,
        )
    )


def set_expiry(connection: Connection, key_id: str, expires_at: float) -> None:
    """Let a key end at a moment."""
    connection.execute(
        update(api_keys).where(api_keys.c.id == key_id).values(expires_at=expires_at)
    )


def revoke(connection: Connection, key_id: str, now: float) -> bool:
    """End a key for good and tell every process; False where it already was revoked.

    Only for a transaction that holds off other writers: it gives the revocation its number.
    """
    changed = connection.execute(
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if changed.rowcount:
        connection.execute(insert(revocations).values(key_id=key_id, at=now))
    return bool(changed.rowcount)


def claim_pepper(connection: Connection, mark: bytes) -> bytes:
    """Read the mark of the pepper in use; the first to ask sets it."""
    found = connection.execute(select(pepper_mark.c.mark)).scalar()
    if found is None:
        connection.execute(insert(pepper_mark).values(mark=mark))
    return mark if found is None else bytes(found)
