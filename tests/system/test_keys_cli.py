"""`ticker keys` and `ticker tokens`, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from ticker.security import secrets_file
from ticker.security.demo import ensure_demo_key
from ticker.security.keys import hash_key, parse_key
from ticker.storage import keys, tokens
from ticker.storage.sqlite import SqliteDatabase
from ticker.storage.tokens import TokenRecord

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture
def ticker(tmp_path: Path) -> Run:
    """Run the program in a directory of its own, with no settings but those given."""

    def run(*args: str, environ: Mapping[str, str] | None = None) -> Result:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("TICKER_")
        }
        return subprocess.run(
            [sys.executable, "-m", "ticker", *args],
            cwd=tmp_path,
            env={**inherited, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def one_line(result: Result, code: int, text: str) -> None:
    """Check that a fault is one clear line on stderr."""
    assert result.returncode == code, result
    assert result.stdout == ""
    faults = [line for line in result.stderr.splitlines() if line.startswith("ticker: ")]
    assert len(faults) == 1, result
    assert text in faults[0]
    assert "Traceback" not in result.stderr


def created(ticker: Run, *args: str) -> str:
    result = ticker("keys", "create", *args)
    assert result.returncode == 0, result
    return result.stdout.strip()


def listed(ticker: Run, what: str = "keys") -> list[dict[str, object]]:
    result = ticker(what, "list", "--json")
    assert result.returncode == 0, result
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


def test_a_new_key_stands_alone_on_stdout_once_and_works(ticker: Run, tmp_path: Path) -> None:
    result = ticker("keys", "create", "ada")
    assert result.returncode == 0
    assert re.fullmatch(r"tk_[0-9a-z]{10}_[0-9A-Za-z]{49}\n", result.stdout)
    text = result.stdout.strip()
    assert text[14:] not in result.stderr
    assert "api_key_created" in result.stderr
    assert "not shown again" in result.stderr
    parsed = parse_key(text)
    with (
        closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as database,
        database.read() as connection,
    ):
        found = keys.find(connection, parsed.key_id)
    assert found is not None
    assert found.hash == hash_key(parsed, secrets_file.pepper(tmp_path / "data").value)
    for path in (tmp_path / "data").iterdir():
        assert text[14:].encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_listed_without_their_secrets(ticker: Run) -> None:
    ada, bob = created(ticker, "ada", "--expires", "90d"), created(ticker, "bob")
    assert ticker("keys", "revoke", parse_key(bob).key_id).returncode == 0
    shown = ticker("keys", "list")
    assert shown.returncode == 0
    title, first, second = shown.stdout.splitlines()
    assert title.split()[:4] == ["ID", "USER", "ROLE", "STATE"]
    assert first.split()[:4] == [parse_key(ada).key_id, "ada", "user", "live"]
    assert second.split()[:4] == [parse_key(bob).key_id, "bob", "user", "revoked"]
    found = listed(ticker)
    assert [(entry["user"], entry["state"]) for entry in found] == [
        ("ada", "live"),
        ("bob", "revoked"),
    ]
    assert isinstance(found[0]["expires_at"], float)
    assert found[0]["expires_at"] == pytest.approx(time.time() + 90 * 86400, abs=600)
    assert found[1]["expires_at"] is None
    assert "hash" not in found[0]
    for secret in (ada[14:], bob[14:]):
        assert secret not in shown.stdout + json.dumps(found)


def test_an_empty_list_is_no_fault(ticker: Run) -> None:
    assert listed(ticker) == []
    assert listed(ticker, "tokens") == []
    assert len(ticker("keys", "list").stdout.splitlines()) == 1


def test_a_key_is_rotated_with_an_overlap(ticker: Run) -> None:
    old = parse_key(created(ticker, "ada"))
    result = ticker("keys", "rotate", old.key_id)
    assert result.returncode == 0
    new = parse_key(result.stdout.strip())
    before, after = listed(ticker)
    assert (before["id"], after["id"], after["user"]) == (old.key_id, new.key_id, "ada")
    assert before["expires_at"] == pytest.approx(time.time() + 86400, abs=600)
    assert (before["state"], after["state"]) == ("live", "live")
    again = ticker("keys", "rotate", new.key_id, "--overlap", "0")
    assert again.returncode == 0
    assert [entry["state"] for entry in listed(ticker)] == ["live", "revoked", "live"]


def test_tokens_are_listed_and_revoked_by_id(ticker: Run, tmp_path: Path) -> None:
    key_id = parse_key(created(ticker, "ada")).key_id
    now = time.time()
    with (
        closing(SqliteDatabase(f"sqlite:///{tmp_path}/data/auth.db")) as database,
        database.write() as connection,
    ):
        for name in ("a" * 32, "b" * 32):
            record = TokenRecord(name, key_id, "user:ada", "user", "", "::1", now, now + 60)
            tokens.add(connection, record)
    assert {entry["id"] for entry in listed(ticker, "tokens")} == {"a" * 32, "b" * 32}
    assert "a" * 32 in ticker("tokens", "list").stdout
    result = ticker("tokens", "revoke", "a" * 32)
    assert (result.returncode, result.stdout) == (0, "")
    assert "token_revoked" in result.stderr
    assert [entry["id"] for entry in listed(ticker, "tokens")] == ["b" * 32]
    one_line(ticker("tokens", "revoke", "c" * 32), 1, "there is no token with that id")


def test_roles_come_from_the_settings_file(ticker: Run, tmp_path: Path) -> None:
    one_line(ticker("keys", "create", "ada", "--role", "guest"), 2, "there is no role")
    (tmp_path / "ticker.toml").write_text('[roles.guest]\npolicies = ["everything"]\n')
    created(ticker, "ada", "--role", "guest")
    assert [entry["role"] for entry in listed(ticker)] == ["guest"]


def test_the_demo_key_ends_with_the_first_real_one(ticker: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with closing(SqliteDatabase(f"sqlite:///{data}/auth.db")) as database:
        database.migrate()
        pepper = secrets_file.pepper(data).value
        assert ensure_demo_key(database, data, pepper=pepper, enabled=True)
    created(ticker, "ada")
    assert not (data / "demo-api-key").exists()
    assert [(entry["demo"], entry["state"]) for entry in listed(ticker)] == [
        (True, "revoked"),
        (False, "live"),
    ]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["keys", "create"], 2, "Missing argument"),
        (["keys", "create", ""], 2, "a user is named by"),
        (["keys", "create", "a b"], 2, "a user is named by"),
        (["keys", "create", "ada", "--expires", "soon"], 2, "expected a length of time"),
        (["keys", "create", "ada", "--expires", "0"], 2, "expected a length of time"),
        (["keys", "create", "ada", "--expires", "99999999d"], 2, "100 years"),
        (["keys", "rotate", "0123456789", "--overlap", "-1h"], 2, "expected a length of time"),
        (["keys", "rotate", "0123456789"], 1, "there is no key with that id"),
        (["keys", "revoke", "0123456789"], 1, "there is no key with that id"),
        (["keys", "revoke"], 2, "Missing argument"),
        (["keys", "frobnicate"], 2, "No such command"),
        (["tokens", "revoke", "x"], 1, "there is no token with that id"),
    ],
)
def test_a_fault_is_one_clear_line(ticker: Run, args: list[str], code: int, text: str) -> None:
    one_line(ticker(*args), code, text)


def test_faults_of_the_files_are_one_clear_line(ticker: Run, tmp_path: Path) -> None:
    created(ticker, "ada")
    pepper = tmp_path / "data" / "key-pepper"
    kept = pepper.read_bytes()
    pepper.write_bytes(b"garbage")
    one_line(ticker("keys", "create", "bob"), 1, "does not hold a secret")
    pepper.write_bytes(kept)
    (tmp_path / "data" / "auth.db").write_bytes(b"garbage" * 1000)
    one_line(ticker("keys", "list"), 1, "is not a Ticker database")


def test_a_data_directory_of_another_database_makes_no_key_that_no_server_accepts(
    ticker: Run, tmp_path: Path
) -> None:
    created(ticker, "ada")
    environ = {"TICKER_DATABASE_URL": f"sqlite:///{tmp_path}/data/auth.db"}
    result = ticker("--data-dir", "elsewhere", "keys", "create", "bob", environ=environ)
    one_line(result, 1, "is not the pepper of the keys in")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert [entry["user"] for entry in listed(ticker)] == ["ada"]


def test_another_kind_of_database_is_a_settings_fault_without_its_password(ticker: Run) -> None:
    environ = {"TICKER_DATABASE_URL": "mysql://joe:s3cret@localhost/ticker"}
    result = ticker("keys", "list", environ=environ)
    one_line(result, 2, "begins with sqlite")
    assert "s3cret" not in result.stderr


def test_tokens_in_memory_cannot_be_managed_from_outside(ticker: Run) -> None:
    result = ticker("tokens", "list", environ={"TICKER_TOKEN_STORE": "memory"})
    one_line(result, 1, "keys revoke")


def test_several_processes_may_make_keys_at_once(ticker: Run, tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-m", "ticker", "keys", "create", f"user{number}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    outputs = [maker.communicate(timeout=60) for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 4, outputs
    made = {parse_key(out.strip()).key_id for out, _ in outputs}
    assert made == {entry["id"] for entry in listed(ticker)}
