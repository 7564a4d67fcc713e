"""Secrets in the data directory: made once, whole or not at all, closed to others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ticker.security import secrets_file
from ticker.security.secrets_file import SecretFileError, StoredSecret

KINDS = [secrets_file.token_key, secrets_file.pepper]
Load = Callable[[Path], StoredSecret]


@pytest.mark.parametrize("load", KINDS)
def test_a_secret_is_made_once_and_kept(tmp_path: Path, load: Load) -> None:
    first = load(tmp_path / "data")
    second = load(tmp_path / "data")
    assert (first.made, second.made) == (True, False)
    assert first.value == second.value
    assert len(first.value) == 32
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_the_two_secrets_differ(tmp_path: Path) -> None:
    assert secrets_file.token_key(tmp_path).value != secrets_file.pepper(tmp_path).value


def test_the_representation_hides_the_secret(tmp_path: Path) -> None:
    secret = secrets_file.pepper(tmp_path)
    assert secret.value.hex() not in repr(secret)
    assert repr(secret.value) not in repr(secret)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret\n", b"\xff" * 64, b"0" * 63, b"0" * 10_000]
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key-pepper"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretFileError, match="does not hold a secret") as error:
        secrets_file.pepper(tmp_path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = secrets_file.pepper(tmp_path).path
    path.chmod(0o640)
    with pytest.raises(SecretFileError, match="chmod 600"):
        secrets_file.pepper(tmp_path)


def test_a_pipe_or_a_directory_of_that_name_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key-pepper", 0o600)
    with pytest.raises(SecretFileError, match="no plain file"):
        secrets_file.pepper(tmp_path)
    (tmp_path / "token-key").mkdir()
    with pytest.raises(SecretFileError, match="token-key"):
        secrets_file.token_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize("load", KINDS)
def test_a_secret_of_another_user_is_refused(tmp_path: Path, load: Load) -> None:
    path = load(tmp_path).path
    os.chown(path, 12345, 12345)
    with pytest.raises(SecretFileError, match=r"belongs to another user \(uid 12345\)"):
        load(tmp_path)


def test_a_data_directory_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("")
    with pytest.raises(SecretFileError, match="key-pepper cannot be") as error:
        secrets_file.pepper(place)
    assert "\n" not in str(error.value)


def test_a_line_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "demo-api-key"
    secrets_file.write_line(path, "one", replace=True)
    secrets_file.write_line(path, "two", replace=True)
    assert secrets_file.read_line(path) == "two"
    secrets_file.write_line(path, "three", replace=False)
    assert secrets_file.read_line(path) == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_no_draft_is_left_where_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SecretFileError, match="No space left on device"):
        secrets_file.pepper(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ticker.security import secrets_file; "
        "sys.stdin.readline(); print(secrets_file.pepper(Path(sys.argv[1])).value.hex())"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    values = {starter.communicate(timeout=30)[0] for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * 6
    assert len(values) == 1
