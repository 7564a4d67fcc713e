"""Keys and tokens as their operator manages them: create, list, rotate, revoke.

Rules for this module: synchronous, for the command line and for worker threads; every change
is one transaction, and is logged after it is durable, never with a secret.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from ticker import limits
from ticker.security.keys import ParsedKey, hash_key, new_key
from ticker.storage import keys, tokens
from ticker.storage.interface import Database, Transaction
from ticker.storage.keys import KeyRecord
from ticker.storage.tokens import TokenRecord

_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_log = structlog.get_logger()


class KeyAdminError(Exception):
    """The change asked for cannot be made; the text is one line that says why."""


class KeyAdminUsageError(KeyAdminError):
    """What was asked for is never possible."""


@dataclass(frozen=True, slots=True, eq=False)
class NewKey:
    """A key just made, with its secret: to be shown once and then forgotten."""

    record: KeyRecord
    text: str = field(repr=False)


def _keep(_made: NewKey) -> None:
    """Leave it to the caller, who gets the key from the method."""


class KeyAdmin:
    """The keys and tokens of one database.

    Every method raises `DatabaseUnavailableError` where there is something wrong with it.
    """

    def __init__(
        self, database: Database, pepper: bytes, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._now = now

    def create(
        self,
        user: str,
        role: str,
        lifetime: float | None = None,
        *,
        hand_over: Callable[[NewKey], None] = _keep,
    ) -> NewKey:
        """Make a key for a user; the demo key ends with the first.

        Args:
            user: letters, digits and `._@+-`; the id in `user:<id>`.
            role: the name of its role, which the caller has checked.
            lifetime: seconds until it expires; None for never.
            hand_over: gives the key to its user. Where it fails the key is revoked, the demo
                key stays, and the error goes on.

        Raises:
            KeyAdminUsageError: the user's name is none, or the lifetime is beyond all reason.
        """
        _check_time(lifetime)
        if not _USER.fullmatch(user):
            raise KeyAdminUsageError("a user is named by at most 64 letters, digits and . _ @ + -")
        now = self._now()
        with self._database.write() as transaction:
            made = self._add(transaction, user, role, None if lifetime is None else now + lifetime)
        log_created(made.record)
        self._hand_over(made, hand_over)
        with self._database.write() as transaction:
            demos = keys.live_demo(transaction)
            for demo in demos:
                keys.revoke(transaction, demo.id, now)
        for demo in demos:
            _log.info("api_key_revoked", key_id=demo.id, user=demo.user, reason="demo_over")
        return made

    def _hand_over(self, made: NewKey, hand_over: Callable[[NewKey], None]) -> None:
        """Give a key to its user, or end it: without its secret it is of use to no one."""
        try:
            hand_over(made)
        except BaseException:
            with self._database.write() as transaction:
                keys.revoke(transaction, made.record.id, self._now())
            _log.info(
                "api_key_revoked",
                key_id=made.record.id,
                user=made.record.user,
                reason="not_handed_over",
            )
            raise

    def _add(
        self, transaction: Transaction, user: str, role: str, expires_at: float | None
    ) -> NewKey:
        parsed = new_key()
        record = record_of(parsed, self._pepper, user, role, self._now(), expires_at=expires_at)
        keys.add(transaction, record)
        return NewKey(record, parsed.text)

    def all_keys(self) -> list[KeyRecord]:
        """Read the keys, oldest first."""
        with self._database.read() as transaction:
            return keys.listed(transaction)

    def revoke(self, key_id: str) -> KeyRecord:
        """End a key and its tokens at once; one that was revoked before stays so.

        Raises:
            KeyAdminError: there is no such key.
        """
        with self._database.write() as transaction:
            record = self._find(transaction, key_id)
            changed = keys.revoke(transaction, key_id, self._now())
        if changed:
            _log.info("api_key_revoked", key_id=key_id, user=record.user, reason="asked")
        return record

    def rotate(
        self, key_id: str, overlap: float, *, hand_over: Callable[[NewKey], None] = _keep
    ) -> NewKey:
        """Make a key for the same user and role, and let the old one end after an overlap.

        The new key lives as long as the old one was made for. Tokens of the old key that were
        issued before go on until they expire by themselves; without any overlap they end at once.

        Args:
            key_id: the key to replace.
            overlap: seconds for which both are good.
            hand_over: gives the key to its user. Where it fails the new key is revoked, the old
                one stays as it was, and the error goes on.

        Raises:
            KeyAdminError: there is no such key, or it is over already.
        """
        _check_time(overlap)
        now = self._now()
        with self._database.write() as transaction:
            old = self._find(transaction, key_id)
            if old.demo or old.state(now) != "live":
                state = "the demo key" if old.demo else old.state(now)
                raise KeyAdminError(f"key {key_id} is {state}: make a new one with keys create")
            lifetime = None if old.expires_at is None else old.expires_at - old.created_at
            made = self._add(
                transaction, old.user, old.role, None if lifetime is None else now + lifetime
            )
        log_created(made.record)
        self._hand_over(made, hand_over)
        with self._database.write() as transaction:
            if overlap > 0:
                until = min(now + overlap, old.expires_at or float("inf"))
                keys.set_expiry(transaction, key_id, until)
            else:
                keys.revoke(transaction, key_id, now)
        _log.info(
            "api_key_rotated", key_id=key_id, user=old.user, by=made.record.id, overlap=overlap
        )
        return made

    @staticmethod
    def _find(transaction: Transaction, key_id: str) -> KeyRecord:
        record = keys.find(transaction, key_id)
        if record is None:
            raise KeyAdminError("there is no key with that id: keys list shows them")
        return record

    def live_tokens(self) -> list[TokenRecord]:
        """Read the tokens that open something now, oldest first."""
        with self._database.read() as transaction:
            return tokens.live(transaction, self._now())

    def revoke_token(self, token_id: str) -> None:
        """End a token at once; one that was revoked before stays so.

        Raises:
            KeyAdminError: there is no such token.
        """
        with self._database.write() as transaction:
            record = tokens.find(transaction, token_id)
            if record is None:
                raise KeyAdminError("there is no token with that id: tokens list shows them")
            changed = tokens.revoke(transaction, token_id, self._now())
        if changed:
            _log.info(
                "token_revoked", token_id=token_id, key_id=record.key_id, user_id=record.user_id
            )


def _check_time(seconds: float | None) -> None:
    if seconds is not None and seconds > limits.KEY_LIFETIME_SECONDS:
        raise KeyAdminUsageError("that is longer than 100 years")


def record_of(
    parsed: ParsedKey,
    pepper: bytes,
    user: str,
    role: str,
    now: float,
    *,
    expires_at: float | None = None,
    demo: bool = False,
) -> KeyRecord:
    """Make the record that the database keeps of a key."""
    return KeyRecord(
        id=parsed.key_id,
        hash=hash_key(parsed, pepper),
        user=user,
        role=role,
        demo=demo,
        created_at=now,
        expires_at=expires_at,
    )


def log_created(record: KeyRecord) -> None:
    """Log that a key was made, once that is durable."""
    _log.info(
        "api_key_created",
        key_id=record.id,
        user=record.user,
        role=record.role,
        expires_at=record.expires_at,
        demo=record.demo,
    )
