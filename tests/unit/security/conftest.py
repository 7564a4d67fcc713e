"""A database in a file of its own, and records to put into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ticker.storage.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as opened:
        opened.migrate()
        yield opened
