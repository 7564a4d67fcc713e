"""Servers that tests share, started once a module or session; `tests/conftest.py` loads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.leaks import Footprint, idle, nothing_left
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.server import LAUNCHES, Server, started
from ticker.storage.interface import Database
from ticker.storage.urls import open_database

_BASELINES: dict[int, Footprint] = {}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`ticker serve`, for the tests of one module."""
    with started("serve", tmp_path_factory.mktemp("serve") / "data") as server:
        yield server


@pytest.fixture(scope="module", params=LAUNCHES)
def either(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The program through both launches, one after the other, for the tests of one module."""
    with started(request.param, tmp_path_factory.mktemp(request.param) / "data") as server:
        yield server


@pytest.fixture
def server(serve: Server) -> Iterator[Server]:
    """The module's `ticker serve`, which must hold nothing more after the test than before."""
    yield from _watched(serve)


@pytest.fixture
def launched(either: Server) -> Iterator[Server]:
    """The module's server through both launches, watched as `server` is."""
    yield from _watched(either)


def _watched(server: Server) -> Iterator[Server]:
    baseline = _BASELINES.get(server.process.pid)
    if baseline is None:
        baseline = _BASELINES[server.process.pid] = idle(server)
    with nothing_left(server, baseline):
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, for tests that make databases of their own in it."""
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A new database of each kind, one after the other."""
    if request.param == "sqlite":
        where = f"sqlite:///{tmp_path}/data/auth.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        where = server.url(server.new_database())
    with closing(open_database(where)) as opened:
        opened.migrate()
        yield opened
