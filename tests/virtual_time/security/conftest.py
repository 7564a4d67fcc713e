"""An authority over a database in a file of its own, with a clock that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.issuing import (
    Issuer,
)
from ticker.storage.sqlite import SqliteDatabase


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as database:
        database.migrate()
        yield Issuer(database)
