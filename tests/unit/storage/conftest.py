"""A database in a file of its own; what a test of the past leaves open is closed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.kept_history import OPENED
from ticker.storage.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as opened:
        opened.migrate()
        yield opened


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close what a test leaves open, as after an end without order."""
    yield
    while OPENED:
        OPENED.pop().close()
