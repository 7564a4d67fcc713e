"""Statements about tokens and revocations, over a transaction of `Database`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from ticker import limits
from ticker.storage.interface import Transaction


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


_NAMES: Final = tuple(each.name for each in fields(TokenRecord))
_ADD: Final = (
    f"INSERT INTO tokens ({', '.join(_NAMES)}) "  # noqa: S608 - the names are ours
    f"VALUES ({', '.join(f':{name}' for name in _NAMES)})"
)
#: In the order of `TokenRecord`.
_WITH_KEY: Final = (
    f"SELECT {', '.join(f'tokens.{name}' for name in _NAMES[:-1])}, "  # noqa: S608 - as above
    "coalesce(tokens.revoked_at, api_keys.revoked_at) "
    "FROM tokens JOIN api_keys ON api_keys.id = tokens.key_id"
)


def add(transaction: Transaction, record: TokenRecord) -> None:
    """Store a new token."""
    transaction.change(_ADD, **{name: getattr(record, name) for name in _NAMES})


def find(transaction: Transaction, token_id: str) -> TokenRecord | None:
    """Read one token, expired or not."""
    for row in transaction.query(f"{_WITH_KEY} WHERE tokens.id = :id", id=token_id):
        return TokenRecord(*row)
    return None


def live(transaction: Transaction, now: float) -> list[TokenRecord]:
    """Read the newest tokens that open something, oldest first."""
    rows = transaction.query(
        f"{_WITH_KEY} WHERE tokens.expires_at > :now AND tokens.revoked_at IS NULL "
        "AND api_keys.revoked_at IS NULL ORDER BY tokens.issued_at DESC LIMIT :most",
        now=now,
        most=limits.LIST_ROWS,
    )
    return [TokenRecord(*row) for row in reversed(rows)]


def of_key(transaction: Transaction, key_id: str) -> list[str]:
    """Read the ids of every token of a key."""
    rows = transaction.query("SELECT id FROM tokens WHERE key_id = :id", id=key_id)
    return [token_id for (token_id,) in rows]


def revoke(transaction: Transaction, token_id: str, now: float) -> bool:
    """End a token for good and tell every process; False where there was none to end.

    Only for a transaction that holds off other writers: it gives the revocation its number.
    """
    changed = transaction.change(
        "UPDATE tokens SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL",
        id=token_id,
        now=now,
    )
    if changed:
        transaction.change(
            "INSERT INTO revocations (token_id, at) VALUES (:id, :now)", id=token_id, now=now
        )
    return bool(changed)


def last_revocation(transaction: Transaction) -> int:
    """Tell the number of the newest revocation; 0 where there never was one."""
    ((number,),) = transaction.query("SELECT max(number) FROM revocations")
    return number or 0


def revocations_after(transaction: Transaction, number: int) -> list[Revocation]:
    """Read the next revocations after a number, in order, a batch at most."""
    rows = transaction.query(
        "SELECT number, token_id, key_id FROM revocations WHERE number > :number "
        "ORDER BY number LIMIT :most",
        number=number,
        most=limits.REVOCATION_BATCH,
    )
    return [Revocation(*row) for row in rows]


def purge(transaction: Transaction, now: float) -> int:
    """Remove a batch of expired tokens and of old revocations; tell how many rows it was."""
    expired = transaction.change(
        "DELETE FROM tokens WHERE id IN "
        "(SELECT id FROM tokens WHERE expires_at <= :now ORDER BY expires_at LIMIT :most)",
        now=now,
        most=limits.TOKEN_PURGE_BATCH,
    )
    # The newest stays, so that its number goes on telling how far the list has come.
    old = transaction.change(
        "DELETE FROM revocations WHERE number IN (SELECT number FROM revocations "
        "WHERE at < :before AND number < (SELECT max(number) FROM revocations) LIMIT :most)",
        before=now - limits.REVOCATION_KEPT_SECONDS,
        most=limits.TOKEN_PURGE_BATCH,
    )
    return expired + old
