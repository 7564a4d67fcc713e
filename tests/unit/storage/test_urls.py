"""Addresses of databases: which are some, and that a wrong one is not repeated."""

from __future__ import annotations

import pytest

from ticker.storage.urls import (
    DatabaseUrlError,
    check_url,
    is_postgres,
    open_database,
    postgres_url,
)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/ticker",
        "postgresql+psycopg://joe:s3cret@db.example.com:5432/ticker",
        "postgresql+psycopg://joe:s3cr/et@db/ticker",
        "postgresql+psycopg://joe@[::1]:5432/ticker?sslmode=verify-full",
        "postgresql+psycopg://a:5432,b:5433/ticker?target_session_attrs=read-write",
        "postgresql+psycopg:///ticker?host=/run/postgresql",
    ],
)
def test_an_address_of_postgresql_is_one(url: str) -> None:
    check_url(url)
    assert is_postgres(url)
    assert postgres_url(url).startswith("postgresql+psycopg://")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://",
        "postgresql+psycopg://joe:s3cret@localhost",
        "postgresql+psycopg://joe:s3cret@localhost/",
        "postgresql+asyncpg://joe:s3cret@localhost/ticker",
        "postgresql+psycopg://joe:s3cret@localhost:port/ticker",
        "postgresql+psycopg://joe:s3cret@localhost/a/b",
        "mysql://joe:s3cret@localhost/ticker",
        "postgres:ticker",
        "",
    ],
)
def test_a_wrong_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="expected") as error:
        check_url(url)
    assert "joe" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_parameters_are_those_of_libpq() -> None:
    with pytest.raises(DatabaseUrlError, match="as libpq knows them") as error:
        open_database("postgresql+psycopg://joe:s3cret@localhost/ticker?nonsense=1")
    assert "s3cret" not in str(error.value)


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticker.storage.urls.find_spec", lambda _name: None)
    with pytest.raises(DatabaseUrlError, match=r"pip install 'ticker\[postgres\]'"):
        check_url("postgresql+psycopg://localhost/ticker")
