"""Both launches give the same full service."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import pytest

from tests.support.raw import ask, connect, handshake, opened
from tests.support.server import LAUNCHES, Launch, Server, command_of, started
from ticker import limits
from ticker.settings.model import Settings


async def test_everything_is_there_on_one_port(launched: Server) -> None:
    status, _, page = launched.request("GET", "/")
    assert (status, b"<html" in page) == (200, True)
    token = launched.new_token()
    bearer = {"Authorization": f"Bearer {token}"}
    for path in ("/prices", "/healthz", "/readyz", "/metrics"):
        assert launched.request("GET", path, headers=bearer)[0] == 200, path
    async with opened(launched, token) as stream:
        assert (await stream.message())["type"] == "welcome"
        assert (await stream.message())["snapshot"] is True
        assert "snapshot" not in await stream.message()


async def test_the_seam_is_engaged(launched: Server) -> None:
    # Stock Hypercorn dies of the first; hands the second to the application; and keeps a
    # compression context for each connection in the third.
    for subprotocol in ("\xe9", "ticker.v1, \xff"):
        request = handshake(launched, headers={"Sec-WebSocket-Protocol": subprotocol})
        assert (await ask(launched, request)).status == 401
    request = handshake(launched, launched.token(), path="/elsewhere")
    response = await ask(launched, request)
    assert (response.status, response.error) == (404, "not found")
    headers: dict[str, str | None] = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    async with opened(launched, headers=headers) as stream:
        agreed = stream.response.headers["sec-websocket-extensions"]
        assert "server_no_context_takeover" in agreed
        assert (await stream.message())["type"] == "welcome"
    assert launched.process.poll() is None


def test_the_table_of_descriptors_is_as_large_as_it_will_be(launched: Server) -> None:
    # Where it must grow in the middle of a rush, all wait for the kernel.
    status = Path(f"/proc/{launched.pid}/status").read_text()
    size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("FDSize"))
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = Settings().max_streams + limits.OTHER_DESCRIPTORS
    assert size >= (needed if hard == resource.RLIM_INFINITY else min(needed, hard))


async def test_one_connections_nonsense_is_its_own(launched: Server) -> None:
    async with opened(launched) as bystander:
        for nonsense in (
            b"\x00" * 100,
            b"GET\r\n\r\n",
            b"\x16\x03\x01" + b"\xff" * 60,
            b"\r\n" * 99,
        ):
            async with await connect(launched) as peer:
                await peer.send_all(nonsense)
                await peer.send_eof()
                while await peer.receive_some(4096):
                    pass
        for _ in range(20):
            await bystander.until("ticker")
    assert launched.events("connection_crashed") == []
    assert launched.process.poll() is None


def test_python_m_ticker_is_the_same_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ticker", "serve", "--port", "0"]
    with started("serve", tmp_path / "data", command=command) as server:
        assert server.request("GET", "/healthz")[0] == 200


def test_options_override_the_environment_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text('tick = "1s"\nsymbols = "BTC-USD"\n')
    other = tmp_path / "other"
    args = ["--host", "localhost", "--tick", "20ms", "--source", "simulated:seed=1"]
    args += ["--data-dir", str(other)]
    env = {"TICKER_TICK": "5ms", "TICKER_SYMBOLS": "ETH-USD=7,SOL-USD"}
    with started("serve", tmp_path / "data", args=args, env=env) as server:
        assert (other / "auth.db").exists()
        assert not (tmp_path / "data").exists()
        key = (other / "demo-api-key").read_text().strip()
        bearer = {"Authorization": f"Bearer {server.new_token(key)}"}
        data = json.loads(server.request("GET", "/prices", headers=bearer)[2])["data"]
        assert [entry["symbol"] for entry in data] == ["ETH-USD", "SOL-USD"]


def test_the_demo_key_is_logged_at_every_start_and_kept_for_its_owner(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with started("serve", tmp_path / "data") as server:
            seen.append(server.wait_event("demo_api_key")["api_key"])
            assert server.new_token(seen[-1])
            for name in ("demo-api-key", "token-key", "auth.db"):
                assert (tmp_path / "data" / name).stat().st_mode & 0o077 == 0, name
    assert seen == [server.api_key] * 2


@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_soft_limit_of_open_files_is_raised_to_what_the_streams_need(
    tmp_path: Path, launch: Launch
) -> None:
    few = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", *command_of(launch)]
    env = {"TICKER_MAX_STREAMS": "1000"}
    with started(launch, tmp_path / "data", command=few, env=env) as server:
        limits = Path(f"/proc/{server.pid}/limits").read_text("ascii")
        (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
        assert int(line.split()[3]) >= 1000
