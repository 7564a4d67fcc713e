"""Two machines show one market, whatever becomes of one of them, or of Redis.

The short forms have room for a busy machine; the figures that are promised are looked at by name
(`nox -s cluster`).
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest
import trio

from tests.support.figures import tell
from tests.support.nodes import (
    MACHINE_SECONDS,
    SLACK,
    Shared,
    Witness,
    share,
    two_values,
    watched,
)
from tests.support.outages import check_restarted
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import VALKEY, RedisServer, redis_server, sentinels
from tests.support.server import Server, key_id
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.waiting import eventually, wait_until

#: For how long something is away in the short forms.
AWAY = 1.6


@attrs.frozen
class Pair:
    """Two machines, each with a way of its own to Redis."""

    shared: Shared
    redis: RedisServer
    servers: list[Server]
    links: list[TcpProxy]
    key: str

    def feeder(self, witnesses: list[Witness]) -> int:
        """Return which of them feeds: the one that says so to Redis."""
        name = self.redis.ask("GET", "ticker:{ticker}:lease").split(b"\n")[1].split()[0].decode()
        names = [(each.data_dir / "node-name").read_text().strip() for each in self.servers]
        assert len(witnesses) == len(names)
        return names.index(name)


def pair_of(shared: Shared, redis: RedisServer) -> Iterator[Pair]:
    key = shared.new_key()
    with tcp_proxy(redis.port) as left, tcp_proxy(redis.port) as right:
        ways = [f"redis://127.0.0.1:{link.port}" for link in (left, right)]
        with (
            shared.machine("left", bus=ways[0], listen=False) as one,
            shared.machine("right", bus=ways[1], listen=False) as two,
        ):
            for server in (one, two):
                server.wait_listening(MACHINE_SECONDS)
            yield Pair(shared, redis, [one, two], [left, right], key)


@pytest.fixture(scope="module")
def pair(shared: Shared, redis: RedisServer) -> Iterator[Pair]:
    yield from pair_of(shared, redis)


async def agree(witnesses: list[Witness], after: str) -> None:
    """Wait until all show ticks of one epoch, another one than before."""

    def agreed() -> bool:
        epochs = {witness.epoch for witness in witnesses}
        return len(epochs) == 1 and after not in epochs

    await eventually(agreed, "one new epoch everywhere", seconds=SLACK)
    for witness in witnesses:
        await witness.goes_on()


async def check_stopped(pair: Pair, seconds: float, within: float) -> None:
    """Stop the feeding machine, let the other one take over, and let it go on."""
    async with watched(pair.servers, pair.key) as witnesses:
        feeder = pair.feeder(witnesses)
        other, epoch = witnesses[1 - feeder], witnesses[feeder].epoch
        stopped = trio.current_time()
        pair.servers[feeder].send_signal(signal.SIGSTOP)
        try:
            await trio.sleep(seconds)
        finally:
            pair.servers[feeder].send_signal(signal.SIGCONT)
        await agree(witnesses, epoch)
        silence = other.silence(stopped)
        tell(f"feeding machine stopped: silence {silence:.2f} s, {two_values(witnesses)} twice")
        assert two_values(witnesses) == []
        assert silence <= within


async def check_cut_off(pair: Pair, seconds: float, within: float) -> None:
    """Cut the feeding machine off from Redis, and let it return."""
    async with watched(pair.servers, pair.key) as witnesses:
        feeder = pair.feeder(witnesses)
        alone, other = witnesses[feeder], witnesses[1 - feeder]
        epoch, cut = other.epoch, trio.current_time()
        pair.links[feeder].cut()
        try:
            stale = await alone.becomes("stale") - cut
            await trio.sleep(max(0.0, seconds - (trio.current_time() - cut)))
            frozen = max((at for at, _, _ in alone.ticks), default=cut) - cut
        finally:
            pair.links[feeder].heal()
        await agree(witnesses, epoch)
        await alone.becomes("live")
        silence = other.silence(cut)
        tell(
            f"feeding machine cut off: stale after {stale:.2f} s, last tick after {frozen:.2f} s; "
            f"silence of the other {silence:.2f} s, {two_values(witnesses)} twice"
        )
        assert two_values(witnesses) == []
        assert stale <= within
        assert silence <= within


async def check_redis_paused(pair: Pair, seconds: float, stale_in: float, ticks_in: float) -> None:
    """Pause Redis; no machine ticks alone, and all go on after it."""
    async with watched(pair.servers, pair.key) as witnesses:
        paused = trio.current_time()
        pair.redis.pause()
        try:
            stale = [await witness.becomes("stale") - paused for witness in witnesses]
            await trio.sleep(max(0.0, seconds - (trio.current_time() - paused)))
            seen = [witness.seq for witness in witnesses]
        finally:
            pair.redis.go_on()
            back = trio.current_time()
        again = [await witness.goes_on() - back for witness in witnesses]
        live = [await witness.becomes("live") - back for witness in witnesses]
        tell(
            f"Redis paused {seconds:.0f} s: stale after {max(stale):.2f} s, ticking "
            f"{max(again):.2f} s after it returned, live {max(live):.2f} s"
        )
        assert max(seen) - min(seen) <= 1
        assert two_values(witnesses) == []
        assert max(stale) <= stale_in
        assert max(again) <= ticks_in


async def check_redis_empty(pair: Pair, within: float) -> None:
    """Kill Redis and start it without its data."""
    async with watched(pair.servers, pair.key) as witnesses:
        epoch = witnesses[0].epoch
        pair.redis.kill()
        await trio.to_thread.run_sync(pair.redis.start)
        back = trio.current_time()
        await agree(witnesses, epoch)
        first = max(
            next(at for at, each, _ in witness.ticks if each != epoch) for witness in witnesses
        )
        tell(f"Redis killed and empty: new epoch {first - back:.2f} s after it is back")
        assert two_values(witnesses) == []
        assert first - back <= within


async def check_asleep(pair: Pair, seconds: float) -> None:
    """Stop the following machine; what it shows when it wakes is new."""
    async with watched(pair.servers, pair.key) as witnesses:
        follower = 1 - pair.feeder(witnesses)
        sleeper = witnesses[follower]
        pair.servers[follower].send_signal(signal.SIGSTOP)
        await trio.sleep(seconds)
        woken, seen = time.time(), sleeper.seq
        pair.servers[follower].send_signal(signal.SIGCONT)
        # One that was silent for half a minute may be cut off; another one comes then.
        async with watched([pair.servers[follower]], pair.key) as (late,):
            await eventually(lambda: len(late.ticks) > 50, "it to go on", seconds=SLACK)
            ages = [*sleeper.ages, *late.ages]
        # The tick that it was stopped in the middle of was begun before.
        oldest = max(age for at, age, seq in ages if at >= woken and seq > seen + 1)
        tell(f"follower asleep for {seconds:.0f} s: oldest frame afterwards {oldest:.2f} s")
        assert oldest <= 1.0
        assert two_values(witnesses) == []


async def check_revoked(pair: Pair, within: float) -> None:
    """Revoke a key on one machine; its streams end everywhere."""
    key = await trio.to_thread.run_sync(pair.shared.new_key, "bob")
    async with watched(pair.servers, key) as witnesses:
        await trio.to_thread.run_sync(pair.shared.ticker, "keys", "revoke", key_id(key))
        revoked = trio.current_time()
        await eventually(
            lambda: all(each.closed is not None for each in witnesses), "the end", seconds=SLACK
        )
        took = max(witness.closed_at for witness in witnesses) - revoked
        tell(f"key revoked on one machine: streams end everywhere {took:.2f} s later")
        assert [witness.closed for witness in witnesses] == [4001, 4001]
        assert took <= within


async def test_a_machine_that_was_stopped_and_wakes_follows(pair: Pair) -> None:
    await check_stopped(pair, AWAY, SLACK)


async def test_a_machine_that_was_cut_off_is_stale_and_follows_when_it_returns(pair: Pair) -> None:
    await check_cut_off(pair, AWAY, SLACK)


async def test_while_redis_is_paused_no_machine_ticks_alone(pair: Pair) -> None:
    await check_redis_paused(pair, AWAY, SLACK, SLACK)


async def test_a_redis_that_lost_its_data_is_used_in_a_new_epoch(pair: Pair) -> None:
    await check_redis_empty(pair, SLACK)


async def test_a_follower_that_slept_shows_nothing_old(pair: Pair) -> None:
    await check_asleep(pair, AWAY)


async def test_a_revoked_keys_streams_end_on_every_machine(pair: Pair) -> None:
    await check_revoked(pair, SLACK)


async def check_killed(feeds: Server, follows: Server, key: str) -> float:
    """Kill the feeding machine; return for how long the other one was silent."""
    async with watched([feeds, follows], key) as witnesses:
        killed, epoch = trio.current_time(), witnesses[1].epoch
        feeds.process.kill()
        await agree(witnesses[1:], epoch)
        assert two_values(witnesses) == []
        return witnesses[1].silence(killed)


async def check_ten_killed(shared: Shared, times: int = 10) -> None:
    """Kill the feeding machine so many times, with another one that follows each time."""
    key = await trio.to_thread.run_sync(shared.new_key)
    silences = []
    with ExitStack() as stack:
        feeds = stack.enter_context(shared.machine("first"))
        for number in range(times):
            follows = stack.enter_context(shared.machine(f"next{number}"))
            silences.append(await check_killed(feeds, follows, key))
            feeds = follows
    tell(f"feeding machine killed {times} times: silence at most {max(silences):.2f} s")
    assert max(silences) <= 1.5


async def test_a_database_that_is_started_again_issues_tokens_again(
    pair: Pair, postgres: PostgresServer
) -> None:
    assert await check_restarted(postgres, pair.servers[0], pair.key) <= SLACK


async def test_ticker_cluster_shows_who_feeds_and_how_far_each_has_come(pair: Pair) -> None:
    async with watched(pair.servers, pair.key) as witnesses:
        feeder = pair.feeder(witnesses)
        ticker = pair.shared.ticker

        def told() -> bool:
            nodes = json.loads(ticker("cluster", "--json").stdout)["nodes"]
            return [node["streams"] for node in nodes if not node["gone"]] == [1, 1]

        await trio.to_thread.run_sync(wait_until, told, "one stream each")
        shown = json.loads((await trio.to_thread.run_sync(ticker, "cluster", "--json")).stdout)
        table = (await trio.to_thread.run_sync(ticker, "cluster")).stdout
    names = [(each.data_dir / "node-name").read_text().strip() for each in pair.servers]
    nodes = {node["node"]: node for node in shown["nodes"] if not node["gone"]}
    assert shown["market"] == "ticker"
    assert shown["feeder"] == names[feeder]
    assert set(nodes) == set(names)
    assert {node["epoch"] for node in nodes.values()} == {witnesses[0].epoch}
    assert all(node["seq"] > 0 for node in nodes.values())
    assert table.split()[:6] == ["NODE", "STATE", "EPOCH", "SEQ", "LAG", "STREAMS"]
    assert "feeds" in table
    assert "follows" in table


async def test_a_feeding_machine_that_is_killed_is_followed_by_another(pair: Pair) -> None:
    # The last of this module: the machine does not come back.
    async with watched(pair.servers, pair.key) as witnesses:
        feeder = pair.feeder(witnesses)
    silence = await check_killed(pair.servers[feeder], pair.servers[1 - feeder], pair.key)
    tell(f"feeding machine killed: silence {silence:.2f} s")
    assert silence <= SLACK


@pytest.mark.slow
async def test_the_figures_that_are_promised(tmp_path: Path, postgres: PostgresServer) -> None:
    with redis_server(tmp_path / "redis") as redis:
        for pair in pair_of(share(tmp_path, redis.url, postgres), redis):
            await check_figures(pair)


async def check_figures(pair: Pair) -> None:
    """Look at each figure of two machines."""
    for _ in range(3):
        await check_stopped(pair, 4.0, 2.0)
        await check_cut_off(pair, 4.0, 1.5)
        await check_redis_paused(pair, 3.0, 1.5, 0.5)
        await check_redis_empty(pair, 2.0)
        await check_revoked(pair, 1.0)
    await check_asleep(pair, 30.0)


@pytest.mark.slow
async def test_ten_feeding_machines_that_are_killed(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    await check_ten_killed(share(tmp_path, f"{redis.url}/1", postgres))


@pytest.mark.slow
async def test_a_failover_of_sentinel(tmp_path: Path, postgres: PostgresServer) -> None:
    with sentinels(tmp_path / "redis") as found:
        shared = share(tmp_path, found.url, postgres)
        key = await trio.to_thread.run_sync(shared.new_key)
        with shared.machines(2) as servers:
            async with watched(servers, key) as witnesses:
                epoch, killed = witnesses[0].epoch, trio.current_time()
                found.primary.kill()
                await agree(witnesses, epoch)
                silence = max(witness.silence(killed) for witness in witnesses)
                tell(f"Sentinel failover: silence {silence:.2f} s")
                assert two_values(witnesses) == []
                assert silence <= 5.0


@pytest.mark.slow
async def test_valkey_is_as_good(tmp_path: Path, postgres: PostgresServer) -> None:
    with redis_server(tmp_path / "valkey", command=VALKEY) as valkey:
        shared = share(tmp_path, valkey.url, postgres)
        await check_ten_killed(shared, 2)


@pytest.mark.slow
def test_six_machines_start_at_once_on_an_empty_database(
    tmp_path: Path, redis: RedisServer, postgres: PostgresServer
) -> None:
    shared = share(tmp_path, f"{redis.url}/2", postgres)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(shared.machine(f"node{number}", listen=False))
            for number in range(6)
        ]
        for server in servers:
            server.wait_listening(MACHINE_SECONDS)
        key = shared.new_key()
        for server in servers:
            server.new_token(key)
    tell("six machines at once on an empty database: 6 of 6 serve")
