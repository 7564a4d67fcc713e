"""Every command with a standard output that cannot be written, or cannot show everything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.server import environment, script

#: Commands that need no server, and print.
COMMANDS: Final = {
    "help": ("--help",),
    "version": ("--version",),
    "config": ("config",),
    "explain": ("config", "--explain"),
    "keys": ("keys", "list"),
    "keys-json": ("keys", "list", "--json"),
    "tokens": ("tokens", "list"),
    "doctor": ("doctor", "--source", "simulated", "--seconds", "0.1"),
    "help-of-one": ("keys", "create", "--help"),
}


def run(tmp_path: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which `$0` is the program."""
    return subprocess.run(
        ["sh", "-c", command, script("ticker")],
        cwd=tmp_path,
        env=environment(tmp_path / "data") | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("where", [">/dev/full", ">&-"], ids=["full", "closed"])
def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], where: str
) -> None:
    done = run(tmp_path, f'"$0" {" ".join(arguments)} {where}')
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ticker: standard output cannot be written: ")


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_an_ascii_terminal_and_a_reader_that_leaves_are_no_fault(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    command = " ".join(arguments)
    assert run(tmp_path, f'"$0" {command}', PYTHONIOENCODING="ascii").returncode == 0
    done = run(tmp_path, f'( "$0" {command}; echo "exit $?" >&2 ) | true')
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "exit 0"


@pytest.mark.parametrize("where", [">/dev/full", ">&-", "| true"], ids=["full", "closed", "gone"])
def test_a_key_that_could_not_be_written_is_revoked(tmp_path: Path, where: str) -> None:
    done = run(tmp_path, f'( "$0" keys create ada; echo "exit $?" >&2 ) {where}')
    assert "exit 1" in done.stderr
    assert "could not be written to standard output and is revoked" in done.stderr
    listed = run(tmp_path, '"$0" keys list').stdout
    assert [line.split()[3] for line in listed.splitlines()[1:]] == ["revoked"]


def test_a_new_key_says_where_it_is_good_and_that_a_database_was_made(tmp_path: Path) -> None:
    first = run(tmp_path, '"$0" keys create ada')
    assert (first.returncode, len(first.stdout.split())) == (0, 1)
    place = os.fspath(tmp_path / "data")
    assert f"Made a new database, {place}/auth.db." in first.stderr
    assert f"It is good for the server with the data directory {place}." in first.stderr
    second = run(tmp_path, '"$0" keys create bob')
    assert place in second.stderr
    assert "new database" not in second.stderr


def test_a_length_of_time_that_is_none_is_answered_with_one_that_makes_sense(
    tmp_path: Path,
) -> None:
    done = run(tmp_path, '"$0" keys create ada --expires foo')
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "90d" in line
    assert not (tmp_path / "data").exists()
