"""An authority over a database of its own, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import pytest
import trio
import trio.testing

from ticker import limits
from ticker.security.authority import (
    Authority,
    InvalidApiKeyError,
    InvalidTokenError,
)
from ticker.security.key_admin import KeyAdmin
from ticker.security.policy import PolicySet
from ticker.security.tokens import TokenSigner
from ticker.storage.sqlite import SqliteDatabase, SqliteTransaction

PEPPER = bytes(range(32))


@dataclass
class Issuer:
    """A database, what manages it, and what asks it."""

    database: SqliteDatabase
    time: float = 1_000_000.0
    signer: TokenSigner = field(default_factory=lambda: TokenSigner([b"k" * 32]))

    def now(self) -> float:
        return self.time

    @property
    def key_admin(self) -> KeyAdmin:
        return KeyAdmin(self.database, PEPPER, self.now)

    def authority(
        self,
        *,
        store: Literal["database", "memory"] = "database",
        now: Callable[[], float] | None = None,
    ) -> Authority:
        """Make an authority as a server does at its start."""
        return Authority(
            database=self.database,
            signer=self.signer,
            pepper=PEPPER,
            token_ttl=3600.0,
            store=store,
            policies=PolicySet.default(),
            now=now or self.now,
        )


PATIENCE = 5.0


class Ended:
    """Collects what a watch tells."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._more = trio.Event()

    def __call__(self, ids: Collection[str]) -> None:
        self.ids.update(ids)
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, name: str) -> None:
        with trio.fail_after(PATIENCE):
            while name not in self.ids:
                await self._more.wait()


async def refused_key(authority: Authority, key: str) -> str:
    with pytest.raises(InvalidApiKeyError) as error:
        await authority.exchange(key, "10.0.0.9")
    assert str(error.value) == "invalid API key"
    return error.value.reason


async def refused_token(authority: Authority, token: str) -> str:
    with pytest.raises(InvalidTokenError) as error:
        await authority.authenticate(token)
    assert str(error.value) == "invalid token"
    return error.value.reason


def database_reads(database: SqliteDatabase) -> list[str]:
    """Note every transaction that begins from now on."""
    seen: list[str] = []
    transaction = database._transaction

    def noted(begin: str) -> AbstractContextManager[SqliteTransaction]:
        seen.append("begin")
        return transaction(begin)

    database._transaction = noted  # type: ignore[method-assign,assignment]
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Wait, looking as often as the watch does."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - threads and files send no events
            await trio.sleep(limits.REVOCATION_POLL_SECONDS / 4)


def bytes_of(database: SqliteDatabase) -> bytes:
    return b"".join(path.read_bytes() for path in database.path.parent.iterdir())
