"""What the authority asks of the database, each in one call for a worker thread.

Rules for this module: synchronous; every method raises `DatabaseUnavailableError` where
something is wrong with the database; what concerns secrets takes the same steps whether an
id is known or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ticker.security.grants import Grant
from ticker.security.keys import ParsedKey, hash_key, same_hash
from ticker.security.policy import PolicySet
from ticker.security.tokens import InvalidTokenError
from ticker.storage import keys, tokens
from ticker.storage.interface import Database
from ticker.storage.keys import KeyRecord
from ticker.storage.tokens import TokenRecord

_NO_HASH: Final = bytes(32)


class InvalidApiKeyError(Exception):
    """The key opens nothing.

    Attributes:
        reason: `malformed`, `unknown`, `wrong_secret`, `revoked` or `expired`; for the log and
            the metrics only, a client is told the same for all.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("invalid API key")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TokenStore:
    """The keys and tokens of one database, as the server uses them.

    Attributes:
        token_ttl: seconds that a token lives; less where its key expires before.
        keeps_tokens: whether token records are stored; otherwise only keys are.
        policies: names what is noted in each grant.
        now: the clock, in seconds since the epoch.
    """

    database: Database
    pepper: bytes
    token_ttl: float
    keeps_tokens: bool
    policies: PolicySet
    now: Callable[[], float]

    def __repr__(self) -> str:
        return f"<TokenStore in {self.database!r}>"

    def exchange(self, parsed: ParsedKey, token_id: str, address: str) -> tuple[Grant, bool]:
        """Check a key and store what its new token stands for.

        Returns:
            The grant, durable, and whether the key was used for the first time.

        Raises:
            InvalidApiKeyError: the key is unknown, revoked or expired.
        """
        # First without the write lock: a guess does not hold off those who have a key.
        with self.database.read() as connection:
            self._check(keys.find(connection, parsed.key_id), parsed)
        # The key stays locked until the token is stored: revoked meanwhile, it would not end it.
        with self.database.write(together=True) as connection:
            key = self._check(keys.find_locked(connection, parsed.key_id), parsed)
            grant = self._grant(key, token_id, address)
            keys.mark_used(connection, key.id, grant.issued_at)
            if self.keeps_tokens:
                tokens.add(connection, _record_of(grant))
        return grant, key.first_used_at is None

    def _check(self, key: KeyRecord | None, parsed: ParsedKey) -> KeyRecord:
        fits = same_hash(hash_key(parsed, self.pepper), _NO_HASH if key is None else key.hash)
        if key is None:
            raise InvalidApiKeyError("unknown")
        if not fits:
            raise InvalidApiKeyError("wrong_secret")
        state = key.state(self.now())
        if state != "live":
            raise InvalidApiKeyError(state)
        return key

    def _grant(self, key: KeyRecord, token_id: str, address: str) -> Grant:
        role = self.policies.roles.get(key.role)
        now = self.now()
        return Grant(
            token_id=token_id,
            key_id=key.id,
            user_id=f"user:{key.user}",
            role=key.role,
            policies=tuple(policy.name for policy in role.policies) if role else (),
            address=address,
            issued_at=now,
            expires_at=min(now + self.token_ttl, key.expires_at or float("inf")),
        )

    def look_up(self, token_id: str) -> Grant:
        """Read what a token stands for; it may have expired.

        Raises:
            InvalidTokenError: it is unknown or revoked.
        """
        with self.database.read() as connection:
            record = tokens.find(connection, token_id)
        if record is None:
            raise InvalidTokenError("unknown")
        if record.revoked_at is not None:
            raise InvalidTokenError("revoked")
        return _grant_of(record)

    def revoked_after(self, number: int) -> tuple[int, set[str]]:
        """Read a batch of what was revoked after a revocation's number.

        Returns:
            The number to go on from, and the ids of the tokens and keys revoked. The number
            is below the one given where the database is not the one that it came from.
        """
        with self.database.read() as connection:
            last = tokens.last_revocation(connection)
            if last <= number:
                return last, set()
            batch = tokens.revocations_after(connection, number)
            ids = {entry.token_id for entry in batch if entry.token_id is not None}
            for entry in batch:
                if entry.key_id is not None:
                    ids.add(entry.key_id)
                    ids.update(tokens.of_key(connection, entry.key_id))
        return batch[-1].number, ids

    def purge(self) -> int:
        """Remove a batch of what has expired; tell how many rows it was."""
        with self.database.write() as connection:
            return tokens.purge(connection, self.now())

    def erase_deleted(self) -> bool:
        """Erase what was removed from the database's files; False where it must be tried again."""
        return self.database.erase_deleted()


def _record_of(grant: Grant) -> TokenRecord:
    return TokenRecord(
        id=grant.token_id,
        key_id=grant.key_id,
        user_id=grant.user_id,
        role=grant.role,
        policies=",".join(grant.policies),
        address=grant.address,
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
    )


def _grant_of(record: TokenRecord) -> Grant:
    return Grant(
        token_id=record.id,
        key_id=record.key_id,
        user_id=record.user_id,
        role=record.role,
        policies=tuple(record.policies.split(",")) if record.policies else (),
        address=record.address,
        issued_at=record.issued_at,
        expires_at=record.expires_at,
    )
