"""A stream that is over leaves nothing for the garbage collector, however it ended."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import trio

from tests.support.frames import TEXT, client_frame
from tests.support.inmemory import Client, World

STREAMS = 50


@pytest.fixture
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _says_goodbye(client: Client) -> None:
    client.raw(client_frame(0x8, (1000).to_bytes(2, "big")))


async def _leaves(client: Client) -> None:
    client.stream.from_client.close()


async def _breaks_the_protocol(client: Client) -> None:
    client.raw(b"\xff\x80\x00\x00\x00\x00")


async def _breaks_off(client: Client) -> None:
    client.stream.broken = True
    client.stream.from_client.close()


async def _falls_behind_and_leaves(client: Client) -> None:
    client.stream.full = True
    for _ in range(5):
        await trio.sleep(0.02)
    client.stream.from_client.close()


@pytest.mark.usefixtures("_collector_off")
@pytest.mark.parametrize(
    "end",
    [_says_goodbye, _leaves, _breaks_the_protocol, _breaks_off, _falls_behind_and_leaves],
)
async def test_a_stream_that_ended_is_freed_at_once(running: World, end: object) -> None:
    async def live_and_end() -> None:
        async with running.client() as client:
            client.raw(client_frame(TEXT, '{"type":"ping"}'))
            await client.until("pong")
            await end(client)  # type: ignore[operator]

    await live_and_end()
    gc.collect()
    for _ in range(STREAMS):
        await live_and_end()
    # A stream is some hundred objects; one that waited for the collector would show.
    assert gc.collect() < STREAMS
