"""An authority over a database in a file of its own, with a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from ticker.security.authority import Authority
from ticker.security.key_admin import KeyAdmin
from ticker.security.policy import PolicySet
from ticker.security.tokens import TokenSigner
from ticker.storage.sqlite import SqliteDatabase

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


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as database:
        database.migrate()
        yield Issuer(database)
