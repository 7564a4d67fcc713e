"""Slow, idle and far too many connections are bounded, and streams do not notice them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from tests.attack.witness import witnessed
from tests.support.leaks import idle, nothing_left
from tests.support.raw import connect, opened
from tests.support.server import Server, script, started
from tests.support.waiting import eventually
from ticker import limits

DRIPPERS = 50
#: Between two drops.
DRIP_SECONDS = 0.25
#: What a busy machine may add to a deadline.
SLACK_SECONDS = 1.5
DESCRIPTORS = 80


async def _drip(server: Server, head: bytes) -> float:
    """Send a head at once and then one byte at a time, for ever; return until it is cut off."""
    async with await connect(server) as stream:
        began = trio.current_time()
        await stream.send_all(head)

        async def drip() -> None:
            while True:
                await trio.sleep(DRIP_SECONDS)
                await stream.send_all(b"a")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_broken, drip)
            while await _receive(stream):
                pass
            nursery.cancel_scope.cancel()
        return trio.current_time() - began


async def _until_broken(drip: object) -> None:
    assert callable(drip)
    try:
        await drip()
    except trio.BrokenResourceError:
        return


async def _receive(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some(65_536))
    except trio.BrokenResourceError:
        return b""


_POST = b"POST /auth/token HTTP/1.1\r\nHost: a\r\n"
#: What is sent at once, and how long the rest of it may take.
DRIPPED = (
    (b"", limits.HEAD_SECONDS),
    (b"GET / HTTP/1.1\r\nX: ", limits.HEAD_SECONDS),
    (_POST + b"Content-Length: 4000\r\n\r\n", limits.BODY_SECONDS),
    (_POST + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n", limits.BODY_SECONDS),
)


async def test_a_client_that_drips_is_cut_off_in_time(server: Server) -> None:
    late: list[str] = []

    async def dripper(start: bytes, seconds: float) -> None:
        waited = await _drip(server, start)
        if waited > seconds + SLACK_SECONDS:
            late.append(f"{start!r} after {waited:.1f} s")

    async with witnessed(server):
        with trio.fail_after(limits.BODY_SECONDS + 10):
            async with trio.open_nursery() as nursery:
                for start, seconds in DRIPPED:
                    for _ in range(DRIPPERS):
                        nursery.start_soon(dripper, start, seconds)
    assert not late, late[:5]


async def test_beyond_the_bound_of_idle_connections_the_next_is_served(server: Server) -> None:
    async with witnessed(server):
        # Those of one batch are counted in any order.
        crowd = limits.HTTP_CONNECTIONS + limits.ACCEPT_BATCH
        idlers = [await connect(server) for _ in range(crowd)]
        try:
            began = trio.current_time()
            async with await connect(server) as late:
                await late.send_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = await late.receive_some(4096)
            # The oldest of those that said nothing had to go.
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            assert trio.current_time() - began < 1.0
            # The idle ones go by themselves, and the service is there for all again.
            with trio.fail_after(limits.HEAD_SECONDS + 10):
                for idler in idlers:
                    while await _receive(idler):
                        pass
        finally:
            for idler in idlers:
                await trio.aclose_forcefully(idler)
        assert server.request("GET", "/healthz")[0] == 200


@pytest.fixture
def poor(tmp_path: Path) -> Iterator[Server]:
    """A server with few file descriptors."""
    program: Sequence[str] = [script("ticker"), "serve", "--port", "0"]
    command = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh", *program]
    with started("serve", tmp_path / "data", command=command) as server:
        yield server


async def test_without_descriptors_streams_go_on_and_the_service_recovers(poor: Server) -> None:
    baseline = idle(poor)
    with nothing_left(poor, baseline):
        async with witnessed(poor) as witness:
            idlers = [await connect(poor) for _ in range(2 * DESCRIPTORS)]
            seen = witness.ticks
            await eventually(lambda: witness.ticks > seen + 100, "a second of the healthy stream")
            for idler in idlers:
                await trio.aclose_forcefully(idler)
            with trio.fail_after(10):
                async with opened(poor) as stream:
                    await stream.until("ticker")
    assert poor.process.poll() is None
