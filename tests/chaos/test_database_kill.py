"""Killed at any moment, no acknowledged key or token is lost, and none is half written."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from ticker.security.keys import hash_key, parse_key
from ticker.storage import keys, tokens
from ticker.storage.sqlite import SqliteDatabase

PEPPER = bytes(range(32))
# Says each key and token only once it has been told that it is stored.
PROGRAM = """
import json, sys
import trio, structlog
from ticker.security.authority import Authority
from ticker.security.key_admin import KeyAdmin
from ticker.security.policy import PolicySet
from ticker.security.tokens import TokenSigner, token_id
from ticker.storage.sqlite import SqliteDatabase

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
database = SqliteDatabase(sys.argv[1])
database.migrate()
pepper = bytes(range(32))
key_admin, signer = KeyAdmin(database, pepper), TokenSigner([b"k" * 32])

async def main():
    authority = Authority(
        database=database, signer=signer, pepper=pepper, token_ttl=3600.0, store="database",
        policies=PolicySet.default(),
    )
    while True:
        key = await trio.to_thread.run_sync(key_admin.create, "ada", "user")
        print(json.dumps({"key": key.text}), flush=True)
        issued = await authority.exchange(key.text, "::1")
        print(json.dumps({"token": issued.grant.token_id}), flush=True)
        await authority.authenticate(issued.token)

trio.run(main)
"""


def check_rounds(place: Path, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    url = f"sqlite:///{place}/auth.db"
    acknowledged = []
    for _ in range(rounds):
        worker = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        first = worker.stdout.readline()
        # The moment of the kill is the subject, so it is drawn, not waited for.
        timer = threading.Timer(dice.uniform(0, 0.05), worker.kill)
        timer.start()
        lines = [first, *worker.stdout]
        timer.join()
        worker.wait(timeout=30)
        worker.stdout.close()
        acknowledged += [json.loads(line) for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= rounds
    with closing(SqliteDatabase(url)) as database:
        database.migrate()
        with database.read() as connection:
            assert connection.query("PRAGMA integrity_check") == [("ok",)]
            for line in acknowledged:
                if "key" in line:
                    parsed = parse_key(line["key"])
                    found = keys.find(connection, parsed.key_id)
                    assert found is not None
                    assert found.hash == hash_key(parsed, PEPPER)
                    assert found.state(time.time()) == "live"
                else:
                    assert tokens.find(connection, line["token"]) is not None


def test_a_kill_loses_no_acknowledged_key_or_token(tmp_path: Path) -> None:
    check_rounds(tmp_path, rounds=20, seed=1)


@pytest.mark.slow
def test_five_hundred_kills_lose_no_acknowledged_key_or_token(tmp_path: Path) -> None:
    check_rounds(tmp_path, rounds=500, seed=2)
