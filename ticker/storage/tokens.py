"""Statements about tokens and revocations, over a connection of `Database`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from ticker import limits
from ticker.storage.schema import api_keys, revocations, tokens


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token as the database knows it. Times are seconds since the epoch.

    Attributes:
        id: the hashed id; the token itself is stored nowhere.
        policies: names, joined by commas, of the role's policies when it was issued.
        revoked_at: when the token, or else its key, was revoked.
    """

    id: str
    key_id: str
    user_id: str
    role: str
    policies: str
    address: str
    issued_at: float
    expires_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What was revoked: a token, or a key with all its tokens."""

    number: int
    token_id: str | None
    key_id: str | None


_WITH_KEY = select(
    *(column for column in tokens.columns if column.name != "revoked_at"),
    func.coalesce(tokens.c.revoked_at, api_keys.c.revoked_at).label("revoked_at"),
).join_from(tokens, api_keys)
#: Asked for more than twice a second, so made once: a third of its cost.
_LAST_REVOCATION = select(func.max(revocations.c.number))


def _record(row: RowMapping) -> TokenRecord:
    return TokenRecord(**row)


def add(connection: Connection, record: TokenRecord) -> None:
    """Store a new token."""
    values = {column.name: getattr(record, column.name) for column in tokens.columns}
    connection.execute(insert(tokens).values(values))


def find(connection: Connection, token_id: str) -> TokenRecord | None:
    """Read one token, expired or not."""
    row = connection.execute(_WITH_KEY.where(tokens.c.id == token_id)).mappings().first()
    return None if row is None else _record(row)


def live(connection: Connection, now: float) -> list[TokenRecord]:
    """Read the newest tokens that open something, oldest first."""
    query = (
        _WITH_KEY.where(tokens.c.expires_at > now)
        .where(tokens.c.revoked_at.is_(None), api_keys.c.revoked_at.is_(None))
        .order_by(tokens.c.issued_at.desc())
        .limit(limits.LIST_ROWS)
    )
    return [_record(row) for row in reversed(connection.execute(query).mappings().all())]


def of_key(connection: Connection, key_id: str) -> list[str]:
    """Read the ids of every token of a key."""
    return list(connection.execute(select(tokens.c.id).where(tokens.c.key_id == key_id)).scalars())


def revoke(connection: Connection, token_id: str, now: float) -> bool:
    """End a token for good and tell every process; False where there was none to end.

    Only for a transaction that holds off other writers: it gives the revocation its number.
    """
    changed = connection.execute(
        update(tokens)
        .where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if changed.rowcount:
        connection.execute(insert(revocations).values(token_id=token_id, at=now))
    return bool(changed.rowcount)


def last_revocation(connection: Connection) -> int:
    """Tell the number of the newest revocation; 0 where there never was one."""
    return connection.execute(_LAST_REVOCATION).scalar_one() or 0


def revocations_after(connection: Connection, number: int) -> list[Revocation]:
    """Read the next revocations after a number, in order, a batch at most."""
    query = (
        select(revocations.c.number, revocations.c.token_id, revocations.c.key_id)
        .where(revocations.c.number > number)
        .order_by(revocations.c.number)
        .limit(limits.REVOCATION_BATCH)
    )
    return [Revocation(*row) for row in connection.execute(query)]


def purge(connection: Connection, now: float) -> int:
    """Remove a batch of expired tokens and of old revocations; tell how many rows it was."""
    expired = (
        select(tokens.c.id)
        .where(tokens.c.expires_at <= now)
        .order_by(tokens.c.expires_at)
        .limit(limits.TOKEN_PURGE_BATCH)
    )
    old = (
        select(revocations.c.number)
        .where(
            revocations.c.at < now - limits.REVOCATION_KEPT_SECONDS,
            # The newest stays, so that its number goes on telling how far the list has come.
            revocations.c.number < select(func.max(revocations.c.number)).scalar_subquery(),
        )
        .limit(limits.TOKEN_PURGE_BATCH)
    )
    gone = connection.execute(delete(tokens).where(tokens.c.id.in_(expired))).rowcount
    return (
        gone + connection.execute(delete(revocations).where(revocations.c.number.in_(old))).rowcount
    )
