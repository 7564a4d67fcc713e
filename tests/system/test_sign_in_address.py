"""What `ticker serve` prints last on a terminal: the address that signs in with the demo key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.server import environment, script, started, ticker
from tests.support.terminal import on_terminal
from tests.support.waiting import wait_until
from ticker.cli.sign_in import sign_in_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081/#key=tk_x"),
        ("http://0.0.0.0:80", "http://127.0.0.1:80/#key=tk_x"),
        ("http://[::]:8081", "http://[::1]:8081/#key=tk_x"),
        ("https://[::1]:8443", "https://[::1]:8443/#key=tk_x"),
        ("http://192.0.2.7:8081", "http://192.0.2.7:8081/#key=tk_x"),
    ],
)
def test_the_address_is_one_that_a_browser_on_this_machine_can_open(url: str, address: str) -> None:
    assert sign_in_address(url, "tk_x") == address


def test_on_a_terminal_it_is_the_last_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    env = environment(data)
    with on_terminal(
        [script("ticker"), "serve", "--port", "0"], env=env, cwd=tmp_path, size=(200, 50)
    ) as terminal:
        wait_until(lambda: "/#key=" in terminal.shown, "the address", seconds=30)
        key = (data / "demo-api-key").read_text().strip()
        wait_until(lambda: terminal.shown.endswith("\n"), "the line's end")
        last = terminal.shown.splitlines()[-1]
        port = re.search(r"http://127\.0\.0\.1:(\d+)", terminal.shown)
        assert port is not None
        assert last == f"http://127.0.0.1:{port[1]}/#key={key}"


def test_it_is_not_printed_without_a_terminal_or_without_a_demo_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started("serve", data) as server:
        assert "#key=" not in server.output
    assert ticker(data, "keys", "create", "ada").returncode == 0
    command = [script("ticker"), "serve", "--port", "0"]
    with on_terminal(command, env=environment(data), cwd=tmp_path, size=(200, 50)) as terminal:
        wait_until(lambda: "listening" in terminal.shown, "the start", seconds=30)
        terminal.press("\x03")
        terminal.wait()
    assert "#key=" not in terminal.shown
