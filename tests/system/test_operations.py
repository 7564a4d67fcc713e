"""What an operator asks: is it alive, is it ready, what has it done; and who else may ask."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.support.metrics import parse_metrics
from tests.support.server import (
    LAUNCHES,
    START_SECONDS,
    Launch,
    create_key,
    started,
)
from tests.support.waiting import wait_until

#: A guest may not see one of the symbols; a scraper sees nothing but metrics.
SETTINGS: Final = """
symbols = "BTC-USD=42000,ETH-USD=2500"

[policies.coins]
effect = "allow"
actions = ["connect", "subscribe", "read"]
resources = ["symbol:BTC-USD"]

[policies.scrape]
effect = "allow"
actions = ["metrics"]
resources = ["*"]

[roles.guest]
policies = ["coins"]
"""
AGE: Final = 'ticker_price_age_seconds{symbol="%s"}'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_metrics_that_are_open_to_all_leave_out_symbols_that_some_role_may_not_see(
    tmp_path: Path,
) -> None:
    (tmp_path / "ticker.toml").write_text(SETTINGS)
    with started("serve", tmp_path / "data") as server:
        found = server.metrics()
        assert AGE % "BTC-USD" in found
        assert AGE % "ETH-USD" not in found


def test_metrics_may_ask_for_a_token_of_a_role_that_may_read_them(tmp_path: Path) -> None:
    roles = SETTINGS + '[roles.scraper]\npolicies = ["scrape"]\n'
    (tmp_path / "ticker.toml").write_text(roles)
    with started("serve", tmp_path / "data", env={"TICKER_METRICS": "token"}) as server:
        assert server.request("GET", "/metrics")[0] == 401
        guest = server.new_token(create_key(server, "ada", "--role", "guest"))
        scraper = server.new_token(create_key(server, "prometheus", "--role", "scraper"))
        asked = {"Authorization": f"Bearer {guest}"}
        assert server.request("GET", "/metrics", headers=asked)[0] == 403
        asked = {"Authorization": f"Bearer {scraper}"}
        status, headers, body = server.request("GET", "/metrics", headers=asked)
        assert (status, headers["cache-control"]) == (200, "no-store")
        assert AGE % "ETH-USD" in parse_metrics(body.decode())


@pytest.mark.parametrize("launch", LAUNCHES)
def test_metrics_may_have_a_listener_of_their_own(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(SETTINGS)
    port = free_port()
    with started(launch, tmp_path / "data", env={"TICKER_METRICS": f"127.0.0.1:{port}"}) as server:
        assert server.request("GET", "/metrics")[0] == 404
        url = f"http://127.0.0.1:{port}"
        response = httpx.get(f"{url}/metrics")
        assert response.status_code == 200
        found = parse_metrics(response.text)
        assert AGE % "ETH-USD" in found
        assert found["ticker_ticks_total"] > 0
        head = httpx.head(f"{url}/metrics")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0
        refused = httpx.post(f"{url}/metrics")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        assert said_to(port, b"\x16\x03\x01 no HTTP\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        for other in ("/", "/healthz", "/prices", "/auth/token"):
            assert httpx.get(url + other).status_code == 404
        # Those who say nothing, or go on for ever, keep no other out for long.
        idlers = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        try:
            wait_until(lambda: _status(f"{url}/metrics") == 200, "room for a scraper", seconds=10)
        finally:
            for idler in idlers:
                idler.close()
        assert server.stop() == 0


def said_to(port: int, data: bytes) -> bytes:
    """Return all that a listener answers to some bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def _status(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("launch", LAUNCHES)
def test_a_listener_for_metrics_that_cannot_be_is_one_clear_line(
    launch: Launch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {"TICKER_METRICS": f"127.0.0.1:{taken.getsockname()[1]}"}
        with started(launch, tmp_path / "data", env=env, listen=False) as server:
            assert server.wait(START_SECONDS) != 0
            assert "TICKER_METRICS: cannot listen on" in server.output
            assert "Traceback" not in server.output
