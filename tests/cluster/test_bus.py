"""The lease and the log in a real Redis: one publisher, no gap, no entry of an old term."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from tests.support.redis_server import VALKEY, RedisServer, free_port, redis_server, sentinels
from ticker import limits
from ticker.cluster.bus import BusUnavailableError, Elected, Held, Snapshot, SupersededError
from ticker.cluster.redis_bus import RedisBus, open_bus
from ticker.settings.bus_address import parse_bus


@pytest.fixture(
    params=["redis-server", pytest.param(VALKEY, marks=pytest.mark.slow)], ids=["redis", "valkey"]
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", command=request.param) as running:
        yield running


@asynccontextmanager
async def nodes(url: str, *names: str) -> AsyncIterator[list[RedisBus]]:
    async with (
        open_bus(parse_bus(url), "market", names[0]) as first,
        open_bus(parse_bus(url), "market", names[1]) as two,
    ):
        yield [first, two]


async def elected(bus: RedisBus) -> int:
    with trio.fail_after(10):
        while True:
            answer = await bus.elect()
            if isinstance(answer, Elected):
                return answer.term
            await trio.sleep(answer.seconds)


async def test_one_node_holds_the_lease_and_prolongs_it_by_publishing(server: RedisServer) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        term = await elected(one)
        held = await two.elect()
        assert isinstance(held, Held)
        assert 0 < held.seconds <= limits.LEASE_MS / 1000
        await one.publish(term, 1, b"tick", keep=100)
        assert await two.holder() == "one"


async def test_a_lease_that_ran_out_goes_to_the_next_and_the_old_term_is_refused(
    server: RedisServer,
) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        old = await elected(one)
        new = await elected(two)
        assert new > old
        with pytest.raises(SupersededError):
            await one.publish(old, 1, b"late", keep=100, snapshot=Snapshot("0", b"late"))
        await two.publish(new, 2, b"good", keep=100, snapshot=Snapshot("0", b"book"))
        assert [entry.payload for entry in await one.log()] == [b"good"]
        assert await one.snapshot() == Snapshot("0", b"book")


async def test_a_reader_gets_every_entry_in_order_and_none_twice(server: RedisServer) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        term = await elected(one)
        place = "0"
        got: list[int] = []
        async with trio.open_nursery() as nursery:

            async def publish() -> None:
                for number in range(300):
                    await one.publish(term, number, b"%d" % number, keep=1000)

            nursery.start_soon(publish)
            with trio.fail_after(20):
                while len(got) < 300:
                    for entry in await two.read(place, 0.5):
                        place = entry.place
                        got.append(int(entry.payload))
        assert got == list(range(300))


async def test_resigning_frees_the_lease_at_once(server: RedisServer) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        term = await elected(one)
        await one.resign(term)
        assert isinstance(await two.elect(), Elected)
        await one.resign(term)
        assert await one.holder() == "two"


async def test_a_server_that_lost_its_data_gives_a_greater_term_and_refuses_the_old(
    server: RedisServer,
) -> None:
    async with open_bus(parse_bus(server.url), "market", "one") as one:
        term = await elected(one)
    server.kill()
    server.start()
    async with open_bus(parse_bus(server.url), "market", "one") as one:
        with pytest.raises(SupersededError):
            await one.publish(term, 1, b"tick", keep=100)
        assert await elected(one) > term


async def test_a_server_that_is_paused_or_away_is_unavailable_in_bounded_time(
    server: RedisServer,
) -> None:
    async with open_bus(parse_bus(server.url), "market", "one") as one:
        term = await elected(one)
        server.pause()
        try:
            with trio.fail_after(limits.BUS_SECONDS + 2), pytest.raises(BusUnavailableError):
                await one.publish(term, 1, b"tick", keep=100)
        finally:
            server.go_on()
    server.kill()
    with trio.fail_after(limits.BUS_SECONDS + 2), pytest.raises(BusUnavailableError):
        async with open_bus(parse_bus(server.url), "market", "one") as one:
            await one.elect()


@pytest.mark.slow
async def test_a_replica_that_became_primary_goes_on(tmp_path: Path) -> None:
    with sentinels(tmp_path) as found:
        async with open_bus(parse_bus(found.url), "market", "one") as one:
            term = await elected(one)
            await one.publish(term, 1, b"before", keep=100)
        found.primary.kill()
        with trio.fail_after(30):
            while True:
                try:
                    async with open_bus(parse_bus(found.url), "market", "one") as one:
                        assert await elected(one) > term
                        break
                except BusUnavailableError:
                    await trio.sleep(0.1)  # the Sentinels are asked again: they take seconds


async def test_what_a_node_knows_is_given_to_no_other_again(server: RedisServer) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        term = await elected(one)
        ahead = term + 1_000_000
        await two.meet(ahead, 500)
        with pytest.raises(SupersededError):
            await one.publish(term, 1, b"tick", keep=100)
        answer = await one.elect()
        assert answer == Elected(ahead + 1, 500)
        assert isinstance(answer, Elected)
        published = await one.publish(answer.term, 501, b"tick", keep=100)
        assert published.head == 500
        await two.meet(0, 3)
        assert (await one.publish(answer.term, 502, b"tick", keep=100)).head == 501


async def test_a_place_is_in_the_log_until_it_was_trimmed(server: RedisServer) -> None:
    async with open_bus(parse_bus(server.url), "market", "one") as one:
        term = await elected(one)
        places = [
            (await one.publish(term, number, b"tick", keep=10)).place for number in range(300)
        ]
        assert await one.holds(places[-1])
        assert not await one.holds(places[0])
        assert [entry.place for entry in await one.log(places[-3])] == places[-2:]


async def test_nodes_are_known_by_what_they_said_last(server: RedisServer) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        await one.register(b"{}")
        await two.register(b"old")
        await two.register(b"new words")
        known = await one.nodes()
        assert {name: said for name, (_, said) in known.items()} == {
            "one": b"{}",
            "two": b"new words",
        }
        assert all(age < 5 for age, _ in known.values())


async def test_a_node_that_said_nothing_for_long_is_forgotten(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NODE_FORGOTTEN_SECONDS", -1)
    async with nodes(server.url, "one", "two") as (one, two):
        await one.register(b"{}")
        await two.register(b"{}")
        assert await one.nodes() == {}


async def test_of_two_nodes_with_one_term_the_holder_of_the_lease_publishes(
    server: RedisServer,
) -> None:
    async with nodes(server.url, "one", "two") as (one, two):
        term = await elected(one)
        server.ask("DEL", "ticker:{market}:lease")
        await two.publish(term, 1, b"tick", keep=100)
        with pytest.raises(SupersededError):
            await one.publish(term, 1, b"tick", keep=100)


async def test_what_is_no_markets_is_as_good_as_nothing(server: RedisServer) -> None:
    async with open_bus(parse_bus(server.url), "market", "one") as one:
        term = await elected(one)
        await one.publish(term, 1, b"tick", keep=100)
        for key in ("term", "head", "nodes"):
            server.ask("SET", f"ticker:{{market}}:{key}", "nonsense")
        server.ask("XADD", "ticker:{market}:log", "*", "other", "field")
        asked: list[Callable[[], Awaitable[object]]] = [one.elect, one.term, one.nodes, one.log]
        for ask in asked:
            with pytest.raises(BusUnavailableError):
                await ask()


async def test_two_markets_in_one_server_do_not_meet(server: RedisServer) -> None:
    async with (
        open_bus(parse_bus(server.url), "here", "one") as one,
        open_bus(parse_bus(server.url), "there", "two") as two,
    ):
        await one.publish(await elected(one), 1, b"tick", keep=100)
        assert isinstance(await two.elect(), Elected)
        assert await two.log() == []


async def test_a_server_with_a_password_and_a_certificate_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(paths["ca"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    issued.private_key_pem.write_to_path(paths["key"])
    monkeypatch.setenv("SSL_CERT_FILE", str(paths["ca"]))
    port = free_port()
    options = [
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", "s3cret"),
        *("--tls-cert-file", str(paths["cert"]), "--tls-key-file", str(paths["key"])),
        *("--tls-ca-cert-file", str(paths["ca"])),
    ]
    server = RedisServer(tmp_path / "redis", *options)
    server.start(ready=b"-NOAUTH")
    try:
        async with open_bus(parse_bus(f"rediss://:s3cret@localhost:{port}/0"), "m", "one") as one:
            await one.publish(await elected(one), 1, b"tick", keep=100)
        for wrong in (f"rediss://:wrong@localhost:{port}/0", f"redis://:s3cret@localhost:{port}/0"):
            with trio.fail_after(10), pytest.raises(BusUnavailableError) as error:
                async with open_bus(parse_bus(wrong), "m", "one") as one:
                    await one.elect()
            assert "wrong" not in str(error.value)
    finally:
        server.kill()
