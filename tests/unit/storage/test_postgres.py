"""A database that several machines share: what they do at once, and what goes wrong with it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.support.figures import tell
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.waiting import wait_until
from ticker.security.key_admin import KeyAdmin
from ticker.security.keys import parse_key
from ticker.security.pepper import open_pepper
from ticker.security.policy import PolicySet
from ticker.security.secrets_file import SecretFileError
from ticker.security.token_store import InvalidApiKeyError, TokenStore
from ticker.storage import keys, schema, tokens
from ticker.storage.errors import DatabaseUnavailableError
from ticker.storage.postgres import PostgresDatabase
from ticker.storage.revision import HEAD, revision

PEPPER = bytes(range(32))
START = (
    "import sys; from ticker.storage.postgres import PostgresDatabase;"
    "opened = PostgresDatabase(sys.argv[1]); print('ready', flush=True);"
    "sys.stdin.readline(); print(opened.migrate(), flush=True)"
)


@pytest.fixture
def name(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def database(postgres: PostgresServer, name: str) -> Iterator[PostgresDatabase]:
    with closing(PostgresDatabase(postgres.url(name))) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def nodes(
    postgres: PostgresServer, name: str, database: PostgresDatabase
) -> Iterator[list[PostgresDatabase]]:
    with ExitStack() as stack:
        others = [
            stack.enter_context(closing(PostgresDatabase(postgres.url(name)))) for _ in range(2)
        ]
        yield [database, *others]


def store(database: PostgresDatabase) -> TokenStore:
    return TokenStore(database, PEPPER, 3600.0, True, PolicySet.default(), lambda: 1000.0)  # noqa: FBT003


def key_admin(database: PostgresDatabase) -> KeyAdmin:
    return KeyAdmin(database, PEPPER, lambda: 1000.0)


def waits_for_a_lock(postgres: PostgresServer, name: str) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with postgres.connect() as connection:
        row = connection.execute(query, [name]).fetchone()
    return row is not None and row[0] > 0


def test_six_nodes_start_at_once_on_an_empty_database_and_one_migrates_it(
    postgres: PostgresServer, name: str
) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START, postgres.url(name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    told = [starter.communicate(timeout=60) for starter in starters]
    assert [error for _, error in told] == [""] * 6
    assert sorted(made for made, _ in told) == ["False\n"] * 5 + ["True\n"]
    tell("six nodes at once: 6 of 6 started, 1 migration")


def test_the_last_migration_leads_to_the_schema_of_today(database: PostgresDatabase) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection.connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    assert revision(database) == HEAD
    assert not database.migrate()


def test_a_database_of_a_newer_ticker_is_refused_in_one_line(database: PostgresDatabase) -> None:
    with database.write() as connection:
        connection.change("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailableError, match="newer Ticker"):
        database.migrate()


def check_no_revocation_is_missed(nodes: list[PostgresDatabase], count: int) -> None:
    """Revoke on two nodes while a third one issues and a reader follows the list."""
    made = [key_admin(nodes[0]).create("ada", "user") for _ in range(count)]
    wanted = {key.record.id for key in made}
    told: set[str] = set()
    done = threading.Event()

    def follow() -> None:
        seen, last = 0, False
        while not last:
            last = done.is_set()
            more = True
            while more:
                before = seen
                seen, ids = store(nodes[2]).revoked_after(seen)
                told.update(ids)
                more = seen > before

    def revoke(node: int) -> None:
        for key in made[node::2]:
            key_admin(nodes[node]).revoke(key.record.id)

    def issue() -> None:
        for number, key in enumerate(made):
            with suppress(InvalidApiKeyError):
                store(nodes[2]).exchange(parse_key(key.text), f"{number}", "::1")

    with ThreadPoolExecutor(4) as pool:
        following = pool.submit(follow)
        for each in [pool.submit(revoke, 0), pool.submit(revoke, 1), pool.submit(issue)]:
            each.result()
        done.set()
        following.result()
    with nodes[0].read() as connection:
        issued = {token for key in wanted for token in tokens.of_key(connection, key)}
    assert wanted | issued <= told
    tell(f"revocations missed: {len(wanted - told)} of {count}, of their tokens: 0")


def test_no_revocation_is_missed_while_others_revoke_and_issue(
    nodes: list[PostgresDatabase],
) -> None:
    check_no_revocation_is_missed(nodes, 200)


@pytest.mark.slow
def test_none_of_1500_revocations_is_missed(nodes: list[PostgresDatabase]) -> None:
    check_no_revocation_is_missed(nodes, 1500)


def test_a_revocation_waits_for_one_before_it_whose_number_is_lower(
    postgres: PostgresServer, name: str, nodes: list[PostgresDatabase]
) -> None:
    first, second = (key_admin(nodes[0]).create("ada", "user").record.id for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        with nodes[0].write() as connection:
            keys.revoke(connection, first, 1000.0)
            later = pool.submit(key_admin(nodes[1]).revoke, second)
            wait_until(lambda: waits_for_a_lock(postgres, name), "the second to wait")
            assert store(nodes[2]).revoked_after(0) == (0, set())
        later.result()
    number, ids = store(nodes[2]).revoked_after(0)
    assert (number, ids) == (2, {first, second})


def test_a_key_is_revoked_after_its_token_is_stored_so_that_both_end(
    postgres: PostgresServer, name: str, nodes: list[PostgresDatabase]
) -> None:
    made = key_admin(nodes[0]).create("ada", "user")
    with ThreadPoolExecutor(1) as pool:
        with nodes[0].write(together=True) as connection:
            assert keys.find_locked(connection, made.record.id) is not None
            revoking = pool.submit(key_admin(nodes[1]).revoke, made.record.id)
            wait_until(lambda: waits_for_a_lock(postgres, name), "the revocation to wait")
            grant = tokens.TokenRecord(
                "token", made.record.id, "user:ada", "user", "", "::1", 0.0, 2000.0
            )
            tokens.add(connection, grant)
        revoking.result()
    assert store(nodes[2]).revoked_after(0) == (1, {made.record.id, "token"})


def test_a_key_that_is_being_revoked_is_exchanged_for_nothing(
    postgres: PostgresServer, name: str, nodes: list[PostgresDatabase]
) -> None:
    made = key_admin(nodes[0]).create("ada", "user")
    with ThreadPoolExecutor(1) as pool:
        with nodes[0].write() as connection:
            keys.revoke(connection, made.record.id, 1000.0)
            exchange = pool.submit(
                store(nodes[1]).exchange, parse_key(made.text), "token", "10.0.0.1"
            )
            wait_until(lambda: waits_for_a_lock(postgres, name), "the exchange to wait")
        with pytest.raises(InvalidApiKeyError) as error:
            exchange.result()
    assert error.value.reason == "revoked"
    assert key_admin(nodes[0]).live_tokens() == []


def test_keys_are_exchanged_beside_a_change_of_another_key(nodes: list[PostgresDatabase]) -> None:
    one, other = (key_admin(nodes[0]).create("ada", "user") for _ in range(2))
    with nodes[0].write() as connection:
        keys.revoke(connection, other.record.id, 1000.0)
        store(nodes[1]).exchange(parse_key(one.text), "token", "10.0.0.1")


def test_of_many_peppers_at_once_one_is_accepted(
    nodes: list[PostgresDatabase], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("none")

    def claim(number: int) -> bool:
        try:
            open_pepper(nodes[number % 3], place, bytes([number]) * 32)
        except SecretFileError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]


def test_a_process_that_stands_still_in_a_transaction_is_not_waited_for(
    nodes: list[PostgresDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticker.limits.DATABASE_IDLE_SECONDS", 0.2)
    stopped, goes_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        with nodes[0].write() as connection:
            keys.any_real(connection)
            stopped.set()
            goes_on.wait(20)
            keys.any_real(connection)

    nodes[0].close()  # the connections that there are know another limit
    nodes[0]._closed = False
    with ThreadPoolExecutor(1) as pool:
        still = pool.submit(stand_still)
        assert stopped.wait(10)
        key_admin(nodes[1]).create("ada", "user")
        goes_on.set()
        with pytest.raises(DatabaseUnavailableError):
            still.result()


def fault_of(work: Callable[[], object]) -> DatabaseUnavailableError:
    with pytest.raises(DatabaseUnavailableError) as error:
        work()
    text = str(error.value)
    assert "\n" not in text
    assert "s3cret" not in text
    assert "127.0.0.1" in text
    assert error.value.__cause__ is None
    return error.value


def test_what_is_wrong_with_the_server_is_one_clear_line_without_credentials(
    postgres: PostgresServer, name: str
) -> None:
    good = postgres.url(name)
    wrong = {
        "unreachable": good.replace(f":{postgres.port}/", ":1/"),
        "denied": good.replace("//ticker:", "//s3cret-user:"),
        "missing": good.replace(name, "nothing_of_this_name"),
    }
    for reason, url in wrong.items():
        with closing(PostgresDatabase(url)) as opened:
            assert fault_of(opened.migrate).reason == reason
            assert "s3cret" not in repr(opened)
    with closing(PostgresDatabase(good)) as opened:
        fault = fault_of(lambda: key_admin(opened).all_keys())
        assert fault.reason == "schema"
        assert "start the server once" in str(fault)


def test_a_replica_says_that_it_is_one(database: PostgresDatabase) -> None:
    record = keys.KeyRecord("x", b"", "ada", "user", demo=False, created_at=1.0)

    def write() -> None:
        with database.write() as connection:
            connection.change("SET TRANSACTION READ ONLY")
            keys.add(connection, record)

    assert fault_of(write).reason == "readonly"


def test_a_server_that_was_started_again_is_used_at_once() -> None:
    with postgres_server() as server, closing(PostgresDatabase(server.url())) as database:
        database.migrate()
        key = key_admin(database).create("ada", "user")
        server.stop()
        assert fault_of(key_admin(database).all_keys).reason == "unreachable"
        server.start()
        assert key_admin(database).all_keys() == [key.record]
