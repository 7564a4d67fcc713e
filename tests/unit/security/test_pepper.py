"""The pepper belongs to its database, and no other is used with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker.security import secrets_file
from ticker.security.pepper import open_pepper
from ticker.security.secrets_file import SecretFileError
from ticker.settings.loader import load
from ticker.storage.sqlite import SqliteDatabase


def test_a_database_keeps_the_pepper_that_it_was_first_used_with(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    first = open_pepper(database, tmp_path)
    assert open_pepper(database, tmp_path) == first == secrets_file.pepper(tmp_path).value


def test_another_pepper_is_refused_and_left_as_it_was(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    open_pepper(database, tmp_path / "one")
    other = secrets_file.pepper(tmp_path / "other")
    with pytest.raises(SecretFileError, match="is not the pepper of the keys in") as error:
        open_pepper(database, tmp_path / "other")
    assert "\n" not in str(error.value)
    assert other.value.hex() not in str(error.value)
    assert secrets_file.pepper(tmp_path / "other").value == other.value


def test_a_pepper_made_in_vain_is_removed_again(database: SqliteDatabase, tmp_path: Path) -> None:
    open_pepper(database, tmp_path / "one")
    with pytest.raises(SecretFileError):
        open_pepper(database, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_pepper_is_not_in_the_database(database: SqliteDatabase, tmp_path: Path) -> None:
    pepper = open_pepper(database, tmp_path)
    database.close()
    stored = database.path.read_bytes()
    assert pepper not in stored
    assert pepper.hex().encode() not in stored


@pytest.mark.parametrize("given", [b"p" * 40, b"short"])
def test_one_from_the_settings_is_used_instead_of_a_file(
    database: SqliteDatabase, tmp_path: Path, given: bytes
) -> None:
    pepper = open_pepper(database, tmp_path, given)
    assert len(pepper) >= 32
    assert open_pepper(database, tmp_path, given) == pepper
    assert not (tmp_path / "key-pepper").exists()
    with pytest.raises(SecretFileError, match="TICKER_KEY_PEPPER is not the pepper") as error:
        open_pepper(database, tmp_path, b"another one, which is long enough")
    assert "another" not in str(error.value)


def test_that_of_a_file_goes_on_in_the_settings(database: SqliteDatabase, tmp_path: Path) -> None:
    stored = open_pepper(database, tmp_path)
    text = (tmp_path / "key-pepper").read_text().strip()
    given = load(environ={"TICKER_KEY_PEPPER": text}).settings.key_pepper
    assert open_pepper(database, tmp_path / "elsewhere", given) == stored
