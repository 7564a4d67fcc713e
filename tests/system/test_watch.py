"""`ticker watch` and the client against the real server, each in its own process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from tests.support.raw import opened
from tests.support.server import Server, environment, script, started
from tests.support.terminal import Terminal, on_terminal
from tests.support.waiting import wait_until
from ticker.client import (
    AuthenticationError,
    Closing,
    RequestError,
    Subscribed,
    Ticker,
    UnreachableError,
    Welcome,
    connect,
)

#: Bounds waits that take milliseconds on an idle machine.
PATIENCE_SECONDS = 30
EXAMPLES = Path(__file__).parents[2] / "examples"


def command(server: Server, *arguments: str) -> list[str]:
    return [script("ticker"), "--data-dir", str(server.data_dir), *arguments]


def run(server: Server, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `ticker` in the server's surroundings, to its end."""
    return subprocess.run(
        command(server, *arguments),
        env=environment(server.data_dir, settings) | {"COLUMNS": "100"},
        cwd=server.data_dir.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def lines(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_prints_one_message_a_line_and_ends_after_the_count(server: Server) -> None:
    done = run(server, "watch", "--url", server.url, "--json", "--count", "3")
    assert (done.returncode, done.stderr) == (0, "")
    messages = lines(done.stdout)
    tickers = [message for message in messages if message["type"] == "ticker"]
    assert messages[0]["type"] == "welcome"
    assert len(tickers) == 3
    assert messages[-1] is tickers[-1]
    assert tickers[0]["snapshot"] is True
    assert isinstance(tickers[0]["data"], list)
    assert {price["symbol"] for price in tickers[0]["data"]} == {"BTC-USD", "ETH-USD", "SOL-USD"}


async def test_json_prints_what_the_server_sent(server: Server) -> None:
    async with opened(server) as stream:
        sent = await stream.frame()
    arguments = ("watch", "--url", server.url, "--json", "--count", "1")
    printed = (await trio.to_thread.run_sync(run, server, *arguments)).stdout
    moment = re.compile(r'(?<="time":)\d+|(?<="expires_in":)\d+|(?<="seq":)\d+')
    assert sent is not None
    assert moment.sub("0", printed.splitlines()[0]) == moment.sub("0", sent.payload.decode())


def test_symbols_and_interval_are_what_is_subscribed_to(server: Server) -> None:
    began = time.monotonic()
    done = run(
        server,
        *("watch", "--url", server.url, "--json", "--count", "4"),
        *("--symbol", "ETH-USD", "--interval-ms", "100"),
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began >= 0.2
    [subscribed] = [line for line in lines(done.stdout) if line["type"] == "subscribed"]
    assert subscribed["symbols"] == ["ETH-USD"]
    for message in lines(done.stdout):
        if message["type"] == "ticker":
            assert isinstance(message["data"], list)
            assert [price["symbol"] for price in message["data"]] == ["ETH-USD"]


def test_changes_are_those_since_the_message_before(server: Server) -> None:
    done = run(
        server,
        *("watch", "--url", server.url, "--json", "--count", "6"),
        *("--mode", "changes", "--detail", "full"),
    )
    assert done.returncode == 0, done.stderr
    [subscribed] = [line for line in lines(done.stdout) if line["type"] == "subscribed"]
    assert (subscribed["mode"], subscribed["detail"]) == ("changes", "full")
    first, *others = [line for line in lines(done.stdout) if line["type"] == "ticker"]
    assert first["snapshot"]
    assert [line["prev"] for line in others] == [line["seq"] for line in (first, *others[:-1])]


def watching_on_terminal(
    server: Server, *arguments: str, size: tuple[int, int] = (100, 24)
) -> AbstractContextManager[Terminal]:
    return on_terminal(
        command(server, "watch", "--url", server.url, *arguments),
        env=environment(server.data_dir),
        cwd=server.data_dir.parent,
        size=size,
    )


def test_the_table_shows_each_symbol_with_its_price_and_the_state(server: Server) -> None:
    with watching_on_terminal(server, "--count", "20") as terminal:
        assert terminal.wait() == 0
    for word in ("SYMBOL", "PRICE", "AGE", "BTC-USD", "ETH-USD", "SOL-USD", "open", "skipped"):
        assert word in terminal.shown


def test_q_ends_it_and_the_status_is_in_sight_with_many_symbols(tmp_path: Path) -> None:
    symbols = ",".join(f"C{number:02}-USD" for number in range(40))
    with (
        started("serve", tmp_path / "data", env={"TICKER_SYMBOLS": symbols}) as many,
        watching_on_terminal(many, size=(60, 14)) as terminal,
    ):
        wait_until(lambda: "more symbols" in terminal.shown, "the table")
        assert "messages/s" in terminal.shown
        assert "..." not in terminal.shown
        terminal.press("q")
        assert terminal.wait() == 0


def test_a_pipe_gets_a_line_for_each_change_and_ends_it_by_closing(server: Server) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -4', "sh", *command(server, "watch", "--url", server.url)],
        env=environment(server.data_dir),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == [
        "BTC-USD",
        "ETH-USD",
        "SOL-USD",
    ]
    for line in done.stdout.splitlines():
        symbol, price, source = line.split()
        assert Decimal(price) > 0, symbol
        assert source == "-"


def test_a_count_of_a_source_that_is_dead_fails_in_one_line(tmp_path: Path) -> None:
    env = {"TICKER_SOURCE": "coinbase", "TICKER_COINBASE_URL": "ws://127.0.0.1:1"}
    with started("serve", tmp_path / "data", env=env) as dead:
        done = run(dead, "watch", "--url", dead.url, "--json", "--count", "1")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("ticker: no price has come: coinbase is stale")


def test_without_a_key_it_says_where_it_looked(server: Server, tmp_path: Path) -> None:
    done = run(server, "--data-dir", str(tmp_path / "wrong"), "watch", "--url", server.url)
    assert done.returncode == 2
    assert f"there is no demo key in {tmp_path}/wrong/demo-api-key" in done.stderr


def test_the_server_is_found_by_the_settings_alone(server: Server) -> None:
    done = run(server, "watch", "--json", "--count", "1", TICKER_PORT=str(server.port))
    assert done.returncode == 0, done.stderr


def test_the_key_may_come_from_a_file_or_the_environment(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(server.api_key + "\n")
    elsewhere = ("--data-dir", str(tmp_path), "watch", "--url", server.url, "--json", "--count=1")
    assert run(server, *elsewhere, "--api-key-file", str(file)).returncode == 0
    assert run(server, *elsewhere, TICKER_API_KEY=server.api_key).returncode == 0
    assert run(server, *elsewhere, "--api-key", server.api_key).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--url", "ftp://127.0.0.1"), "http://"),
        (("--url", "http://192.0.2.1:8081"), "--api-key-file"),
        (("--count", "0"), "--count"),
        (("--interval-ms", "fast"), "--interval-ms"),
        (("--api-key-file", "/nowhere/key"), "/nowhere/key"),
        (("--api-key", "a", "--api-key-file", "b"), "not both"),
        (("--api-key", "a key"), "visible ASCII"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    server: Server, arguments: tuple[str, ...], said: str
) -> None:
    done = run(server, "watch", *arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--api-key", "tk_unheard_knows"), "ticker keys create"),
        (("--symbol", "NO-SUCH"), "unknown_symbol"),
        (("--url", "http://127.0.0.1:1"), "refused"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(
    server: Server, arguments: tuple[str, ...], said: str
) -> None:
    url = () if "--url" in arguments else ("--url", server.url)
    done = run(server, "watch", "--json", *url, *arguments)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert said in line
    assert "tk_unheard" not in line


@contextmanager
def watching(server: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(server, "watch", "--url", server.url, *arguments),
        env=environment(server.data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_ctrl_c_ends_it_quietly(
    server: Server, number: signal.Signals, arguments: tuple[str, ...]
) -> None:
    with watching(server, *arguments) as process:
        if arguments:
            assert process.stdout is not None
            for line in process.stdout:
                if '"ticker"' in line:
                    break
        else:
            server.wait_metric("ticker_streams_open", 1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, errors) == (0, "")
    server.wait_metric("ticker_streams_open", 0)


def test_a_closed_pipe_ends_it_quietly(server: Server) -> None:
    with watching(server, "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


def example(server: Server, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=environment(
            server.data_dir, {"TICKER_URL": server.url, "TICKER_API_KEY": server.api_key}
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"], ids=["closed", "full"])
def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_1(
    server: Server, redirection: str
) -> None:
    watching = command(server, "watch", "--url", server.url, "--json")
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *watching],
        env=environment(server.data_dir, {"TICKER_API_KEY": server.api_key}),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("ticker: standard output cannot be written: ")
    assert result.stderr.count("\n") == 1


def test_the_example_that_prints_prices_runs(server: Server) -> None:
    done = example(server, "watch_prices.py", server.url, server.api_key, "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3
    assert "BTC-USD" in done.stdout


def test_the_example_of_a_bot_runs(server: Server) -> None:
    done = example(server, "bot.py", "BTC-USD", "0.01", "2")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "user:demo" in done.stderr


async def test_the_client_streams_asks_and_leaves(server: Server) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with connect(server.url, api_key=server.api_key) as client:
            assert isinstance(await anext(client), Welcome)
            ticker = await anext(client)
            assert isinstance(ticker, Ticker)
            assert ticker.snapshot
            assert all(isinstance(price.price, Decimal) for price in ticker.data)
            assert await client.ping() < PATIENCE_SECONDS
            answer = await client.subscribe(["SOL-USD"], interval_ms=50)
            assert answer.symbols == ("SOL-USD",)
            with pytest.raises(RequestError) as caught:
                await client.subscribe(["NO-SUCH"])
            assert caught.value.code == "unknown_symbol"
            await client.unsubscribe()


async def test_the_client_reads_a_websocket_url_too(server: Server) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        url = f"ws://127.0.0.1:{server.port}/ws/ticker"
        async with connect(url, api_key=server.api_key, symbols=["BTC-USD"]) as client:
            async for message in client:
                if isinstance(message, Ticker):
                    assert [price.symbol for price in message.data] == ["BTC-USD"]
                    break


async def test_the_client_returns_to_a_restarted_server_and_subscribes_again(
    tmp_path: Path,
) -> None:
    with trio.fail_after(2 * PATIENCE_SECONDS), ExitStack() as first:
        server = first.enter_context(started("serve", tmp_path / "data"))
        async with connect(server.url, api_key=server.api_key, symbols=["ETH-USD"]) as client:
            await trio.to_thread.run_sync(first.close)
            port = str(server.port)
            with started("serve", tmp_path / "data", args=("--port", port)):
                for kind in (Subscribed, Closing, Subscribed, Ticker):
                    async for message in client:
                        if isinstance(message, kind):
                            break
        assert client.statistics().connections == 2


async def test_a_key_that_is_revoked_ends_the_client(tmp_path: Path) -> None:
    with trio.fail_after(2 * PATIENCE_SECONDS), started("serve", tmp_path / "data") as server:
        made = await trio.to_thread.run_sync(run, server, "keys", "create", "anna")
        key = made.stdout.strip()
        async with connect(server.url, api_key=key) as client:
            listed = await trio.to_thread.run_sync(run, server, "keys", "list", "--json")
            [number] = [key["id"] for key in json.loads(listed.stdout) if key["user"] == "anna"]
            await trio.to_thread.run_sync(run, server, "keys", "revoke", number)
            with pytest.raises(AuthenticationError) as caught:
                async for _ in client:
                    pass
        assert key not in str(caught.value)


async def test_a_server_that_is_not_there_is_said_in_time() -> None:
    with trio.fail_after(PATIENCE_SECONDS), pytest.raises(UnreachableError):
        async with connect("http://127.0.0.1:1", api_key="tk_a_key", open_timeout=0.5):
            pytest.fail("there is no server")
