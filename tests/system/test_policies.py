"""Policies from a settings file, end to end: who may open, see and ask for what, and how fast."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.raw import RawStream, ask, handshake, opened
from tests.support.server import Server, create_key, environment, script, started, ticker
from tests.support.waiting import eventually

#: Three of the four symbols for guests, by a rule; one of those is taken away by another.
SETTINGS: Final = """
symbols = "BTC-USD=42000,BTC-EUR=38000,ETH-USD=2500,SOL-USD=95"

[policies.coins]
effect = "allow"
actions = ["connect", "subscribe", "read"]
resources = ["symbol:BTC-*", "symbol:ETH-USD"]

[policies.no-euro]
effect = "deny"
actions = ["*"]
resources = ["symbol:BTC-EUR"]

[policies.read-all]
effect = "allow"
actions = ["read"]
resources = ["*"]

[policies.connect-all]
effect = "allow"
actions = ["connect"]
resources = ["*"]

[policies.nothing]
effect = "deny"
actions = ["*"]
resources = ["*"]

[roles.guest]
policies = ["coins", "no-euro"]
fastest_interval_ms = 200
max_streams = 2
messages_per_second = 5

[roles.backwards]
policies = ["no-euro", "coins"]

[roles.reader]
policies = ["read-all"]

[roles.listener]
policies = ["connect-all"]

[roles.banned]
policies = ["everything", "nothing"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with these settings."""
    directory = tmp_path_factory.mktemp("policies")
    (directory / "ticker.toml").write_text(SETTINGS)
    with started("serve", directory / "data") as server:
        yield server


@pytest.fixture(scope="module")
def tokens(shop: Server) -> dict[str, str]:
    """A token of each role, and of one that the settings no longer name."""
    roles = ("user", "guest", "backwards", "reader", "listener", "banned")
    made = {role: create_key(shop, f"{role}-1", "--role", role) for role in roles}
    older = shop.data_dir.parent / "older.toml"
    older.write_text('[roles.retired]\npolicies = ["everything"]\n')
    create = ("keys", "create", "old-timer", "--role", "retired")
    made["retired"] = ticker(shop.data_dir, "--config", str(older), *create).stdout.strip()
    return {role: shop.new_token(key) for role, key in made.items()}


def prices(server: Server, token: str, path: str = "/prices") -> tuple[int, Any]:
    status, _, body = server.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    return status, json.loads(body)


@pytest.mark.parametrize("role", ["guest", "backwards"])
async def test_a_guest_is_shown_what_is_allowed_and_not_denied(
    shop: Server, tokens: dict[str, str], role: str
) -> None:
    allowed = ["BTC-USD", "ETH-USD"]
    async with opened(shop, tokens[role]) as stream:
        welcome = await stream.message()
        assert (welcome["role"], welcome["symbols"]) == (role, allowed)
        snapshot = await stream.until("ticker")
        assert snapshot["snapshot"] is True
        for message in (snapshot, await stream.until("ticker")):
            assert [quote["symbol"] for quote in message["data"]] == allowed
        for denied in ("BTC-EUR", "SOL-USD"):
            await stream.send({"type": "subscribe", "symbols": ["BTC-USD", denied], "id": 1})
            assert (await stream.until("error", id=1))["code"] == "forbidden"
        # What was refused changed nothing; all that is allowed is what `all` means.
        assert len((await stream.until("ticker"))["data"]) == 2
        await stream.send({"type": "subscribe", "id": 2})
        assert (await stream.until("subscribed", id=2))["symbols"] == allowed
    status, body = prices(shop, tokens[role])
    assert (status, [quote["symbol"] for quote in body["data"]]) == (200, allowed)
    for path in ("/prices/BTC-EUR", "/prices/SOL-USD/history"):
        assert prices(shop, tokens[role], path) == (403, {"error": "forbidden"})
    assert prices(shop, tokens[role], "/prices/BTC-USD")[0] == 200


async def test_the_default_role_is_shown_everything(shop: Server, tokens: dict[str, str]) -> None:
    async with opened(shop, tokens["user"]) as stream:
        everything = ["BTC-USD", "BTC-EUR", "ETH-USD", "SOL-USD"]
        assert (await stream.message())["symbols"] == everything
        assert [quote["symbol"] for quote in (await stream.until("ticker"))["data"]] == everything


@pytest.mark.parametrize("role", ["banned", "retired", "reader"])
async def test_whom_nothing_lets_connect_is_refused_before_any_upgrade(
    shop: Server, tokens: dict[str, str], role: str
) -> None:
    response = await ask(shop, handshake(shop, tokens[role]))
    assert (response.status, response.error) == (403, "forbidden")
    expected = 200 if role == "reader" else 403
    assert prices(shop, tokens[role])[0] == expected

    def refused() -> bool:
        return any(e["reason"] == "forbidden" for e in shop.events("handshake_refused"))

    await eventually(refused, "the refusal in the log")


async def test_who_may_connect_but_subscribe_to_nothing_is_sent_no_price(
    shop: Server, tokens: dict[str, str]
) -> None:
    async with opened(shop, tokens["listener"]) as stream:
        assert (await stream.message())["symbols"] == []
        for request in ({"type": "subscribe"}, {"type": "subscribe", "symbols": ["BTC-USD"]}):
            await stream.send(request)
            message = await stream.message()
            assert (message["type"], message["code"]) == ("error", "forbidden")
        await stream.send({"type": "ping"})
        assert (await stream.message())["type"] == "pong"
    assert prices(shop, tokens["listener"])[0] == 403


async def test_a_role_has_its_own_fastest_interval(shop: Server, tokens: dict[str, str]) -> None:
    async with opened(shop, tokens["guest"]) as stream:
        seqs = [(await stream.until("ticker"))["seq"] for _ in range(4)]
        assert all(later - earlier >= 20 for earlier, later in pairwise(seqs[1:]))
        for asked, got in ((10, 200), (200, 200), (300, 300), (None, 200)):
            request = {"type": "subscribe", "symbols": ["BTC-USD"], "id": asked or 0}
            request |= {} if asked is None else {"interval_ms": asked}
            await stream.send(request)
            answer = await stream.until("subscribed", id=asked or 0)
            assert answer["interval_ms"] == got
    async with opened(shop, tokens["user"]) as stream:
        await stream.send({"type": "subscribe", "interval_ms": 10, "id": 1})
        assert (await stream.until("subscribed", id=1))["interval_ms"] == 10


@asynccontextmanager
async def held(server: Server, *open_with: str) -> AsyncIterator[list[RawStream]]:
    """Hold streams open, one for each token."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(server, token)) for token in open_with]


async def test_a_role_has_its_own_number_of_streams_for_each_key(shop: Server) -> None:
    keys = [create_key(shop, user, "--role", "guest") for user in ("ada", "bob")]
    ada, again, bob = (shop.new_token(key) for key in (keys[0], keys[0], keys[1]))
    before = shop.metrics()["ticker_streams_open"]
    async with held(shop, ada, again):
        # Another token of the same key is no way around.
        for token in (ada, again):
            response = await ask(shop, handshake(shop, token))
            assert (response.status, response.error) == (429, "too many streams")
            assert int(response.headers["retry-after"]) > 0
        async with held(shop, bob, bob):
            pass
    shop.wait_metric("ticker_streams_open", before)
    async with held(shop, again, ada):
        pass


async def test_a_role_has_its_own_rate_of_messages(shop: Server, tokens: dict[str, str]) -> None:
    # 5 a second, and twice that at once; the server's own is 20 and 40.
    async with opened(shop, tokens["guest"]) as stream:
        for _ in range(20):
            await stream.send({"type": "ping"})
        assert await stream.closed() == 4029
    async with opened(shop, tokens["user"]) as stream:
        for number in range(20):
            await stream.send({"type": "ping", "id": number})
        await stream.until("pong", id=19)


def config(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script("ticker"), "config"],
        cwd=directory,
        env=environment(directory / "data"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_effective_table_is_printed(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(SETTINGS)
    shown = config(tmp_path)
    assert shown.returncode == 0, shown.stderr
    table = shown.stdout[shown.stdout.index("role user") :]
    assert (
        "role guest (fastest_interval_ms=200, max_streams=2, messages_per_second=5)\n"
        "  coins: allow connect,subscribe,read on symbol:BTC-*,symbol:ETH-USD\n"
        "  no-euro: deny * on symbol:BTC-EUR\n"
    ) in table
    assert "role user\n  everything: allow * on *\n" in table
    assert "role banned\n  everything: allow * on *\n  nothing: deny * on *\n" in table


def test_wrong_tables_are_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(
        """
        [policies.odd]
        effect = "permit"
        actions = ["write"]
        resources = ["symbol:*-USD"]
        [roles.guest]
        policies = ["absent"]
        max_streams = 0
        """
    )
    shown = config(tmp_path)
    assert shown.returncode == 2
    lines = [line for line in shown.stderr.splitlines() if line.startswith("ticker: ")]
    for where in (
        "policies.odd.effect",
        "policies.odd.actions",
        "policies.odd.resources",
        "roles.guest.policies",
        "roles.guest.max_streams",
    ):
        assert len([line for line in lines if where in line]) == 1, shown.stderr
    assert "Traceback" not in shown.stderr


def over_http(
    server: Server, token: str, query: str = "", *, messages: int = 3
) -> tuple[int, list[dict[str, Any]]]:
    """Ask for a stream over plain HTTP; the status, and the first messages."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", f"/stream{query}", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            return response.status, []
        return 200, [json.loads(response.readline()) for _ in range(messages)]
    finally:
        connection.close()


def test_over_plain_http_a_role_has_what_it_has_on_a_websocket(
    shop: Server, tokens: dict[str, str]
) -> None:
    _, (_, subscribed, frame) = over_http(shop, tokens["guest"])
    assert subscribed["symbols"] == ["BTC-USD", "ETH-USD"]
    assert subscribed["interval_ms"] == 200
    assert [entry["symbol"] for entry in frame["data"]] == ["BTC-USD", "ETH-USD"]
    refused = {
        ("guest", "?symbols=SOL-USD"): 403,
        ("guest", "?symbols=BTC-EUR"): 403,
        ("guest", "?mode=every"): 403,
        ("guest", "?symbols=DOGE-USD"): 400,
        ("reader", ""): 403,
        ("banned", ""): 403,
    }
    for (role, query), status in refused.items():
        assert over_http(shop, tokens[role], query) == (status, []), (role, query)
    # Who may connect and subscribe to nothing is not turned away, and is sent no price.
    status, (_, subscribed) = over_http(shop, tokens["listener"], messages=2)
    assert (status, subscribed["symbols"]) == (200, [])
