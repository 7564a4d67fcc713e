"""A server that dies or falls silent is told to a program in time, and its return too."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from tests.support.server import Server, environment, started
from tests.support.waiting import wait_until
from ticker.client import Client, Disconnected, Message, Reconnected, Ticker, connect

BOT = Path(__file__).parents[2] / "examples" / "bot.py"
PATIENCE_SECONDS = 30


async def next_of(client: Client, kind: type[Message]) -> Message:
    async for message in client:
        if isinstance(message, kind):
            return message
    raise AssertionError


@pytest.mark.parametrize(
    ("number", "within"), [(signal.SIGKILL, 1.0), (signal.SIGSTOP, 3.0)], ids=["reset", "silence"]
)
async def test_a_lost_server_is_told_in_time(
    tmp_path: Path, number: signal.Signals, within: float
) -> None:
    with trio.fail_after(PATIENCE_SECONDS), started("serve", tmp_path / "data") as server:
        async with connect(server.url, api_key=server.api_key, symbols=["BTC-USD"]) as client:
            await next_of(client, Ticker)
            assert client.is_live("BTC-USD")
            began = trio.current_time()
            server.send_signal(number)
            lost = await next_of(client, Disconnected)
            assert isinstance(lost, Disconnected)
            assert lost.reason
            assert trio.current_time() - began <= within
            assert not client.is_live("BTC-USD")
            assert set(client.latest) == {"BTC-USD"}
            if number is signal.SIGSTOP:
                server.send_signal(signal.SIGCONT)
                await next_of(client, Reconnected)
                await next_of(client, Ticker)
                assert client.is_live("BTC-USD")


def test_the_example_of_a_bot_trusts_no_price_while_the_server_is_away(tmp_path: Path) -> None:
    with ExitStack() as first:
        server = first.enter_context(started("serve", tmp_path / "data"))
        with bot(server, tmp_path / "said") as said:
            wait_until(lambda: "connected as" in said.read_text("utf-8"), "the bot's first word")
            port = str(server.port)
            first.close()
            wait_until(lambda: "prices are old: " in said.read_text("utf-8"), "its distrust")
            with started("serve", tmp_path / "data", args=("--port", port)):
                wait_until(lambda: "stream is back" in said.read_text("utf-8"), "its return")


@contextmanager
def bot(server: Server, said: Path) -> Iterator[Path]:
    """Run the example against a server, its stderr going to a file."""
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(BOT), "BTC-USD", "0.01"],
            env=environment(
                server.data_dir, {"TICKER_URL": server.url, "TICKER_API_KEY": server.api_key}
            ),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield said
    finally:
        process.kill()
        process.wait()
