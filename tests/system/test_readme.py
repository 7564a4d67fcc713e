"""What the README shows is true: its commands, its Python and its links."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, environment, script, started
from tests.support.waiting import wait_until
from tests.system.test_replay import recorded

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(not README.is_file(), reason="the README is absent")

ADDRESS = "http://127.0.0.1:8081"


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def commands() -> list[str]:
    """Return every shell command, without its comment."""
    lines = [
        line.partition("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()
    ]
    return [line for line in lines if line and not line.startswith("#")]


def one(beginning: str) -> str:
    (found,) = (command for command in commands() if command.startswith(beginning))
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that the README's clients speak to."""
    with started("serve", tmp_path_factory.mktemp("readme") / "data") as server:
        yield server


def run(server: Server, command: str) -> subprocess.CompletedProcess[str]:
    """Run one of its commands where the server's data is."""
    name, *args = shlex.split(command)
    return subprocess.run(
        [script(name), *args],
        cwd=server.data_dir.parent,
        env={**environment(server.data_dir), "TICKER_API_KEY": server.api_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_two_commands_that_matter_are_there_letter_by_letter() -> None:
    environment = "python3 -m venv .venv && .venv/bin/pip install"
    assert f"{environment} . && .venv/bin/ticker serve" in commands()
    assert f"{environment} nox && .venv/bin/nox" in commands()


def test_the_command_that_ci_runs_is_the_one_that_passes_the_tests() -> None:
    ci = ROOT / ".ci" / "run"
    if not ci.is_file():
        pytest.skip("no part of a source distribution")
    assert one("python3 -m venv .venv && .venv/bin/pip install nox") in ci.read_text().splitlines()


def test_every_command_of_ours_is_one_that_there_is() -> None:
    named = {command.split()[1] for command in commands() if command.startswith("ticker ")}
    for name in named:
        shown = subprocess.run(
            [script("ticker"), name, "--help"], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, name


def test_ticker_serve_serves(tmp_path: Path) -> None:
    served = one("python3 -m venv .venv && .venv/bin/pip install . &&").rpartition("&& ")[2]
    name, *args = shlex.split(served.removeprefix(".venv/bin/"))
    env = {"TICKER_PORT": "0"}
    with started("serve", tmp_path / "data", command=[script(name), *args], env=env) as server:
        assert server.request("GET", "/")[0] == 200
        assert server.wait_event("demo_api_key")["api_key"].startswith("tk_")


def test_hypercorns_own_command_serves(tmp_path: Path) -> None:
    name, *args = shlex.split(one("hypercorn "))
    command = [script(name), *(arg.replace(":8081", ":0") for arg in args)]
    with started("hypercorn", tmp_path / "data", command=command) as server:
        assert server.request("GET", "/readyz")[0] == 200


def test_a_recording_is_served(tmp_path: Path) -> None:
    name, *args = shlex.split(one("ticker serve --source replay:"))
    recorded(tmp_path / args[-1].partition(":")[2], [(0.0, "BTC-USD", "7")])
    command = [script(name), *args, "--port", "0"]
    with started("serve", tmp_path / "data", command=command) as server:
        bearer = {"Authorization": f"Bearer {server.token()}"}
        wait_until(
            lambda: b'"price":7' in server.request("GET", "/prices", headers=bearer)[2],
            "the price of the recording",
        )


def test_watching_as_lines_for_scripts_works(shown: Server) -> None:
    result = run(shown, f"{one('ticker watch --json')} --url {shown.url}")
    assert result.returncode == 0, result.stderr
    kinds = [json.loads(line)["type"] for line in result.stdout.splitlines()]
    assert kinds == ["welcome", "ticker", "ticker", "ticker"]


def test_the_settings_are_printed(shown: Server) -> None:
    result = run(shown, one("ticker config"))
    assert result.returncode == 0
    assert "TICKER_DATA_DIR" in result.stdout


def test_the_python_client_works(shown: Server) -> None:
    (code,) = blocks("python")
    assert ADDRESS in code
    assert "tk_…" in code
    code = code.replace(ADDRESS, shown.url).replace("tk_…", shown.api_key)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.kill()
    assert "Welcome" in lines[0]
    assert all("Ticker" in line for line in lines[1:])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is absent")
def test_the_exchange_by_curl_works(shown: Server) -> None:
    command = one("curl ").replace(ADDRESS, shown.url).replace("tk_…", shown.api_key)
    result = subprocess.run(
        shlex.split(command), capture_output=True, text=True, timeout=20, check=False
    )
    assert set(json.loads(result.stdout)) == {"token", "user_id", "role", "expires_in"}


def test_making_a_key_works_and_ends_the_demo_key(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        result = run(server, one("ticker keys create"))
        assert result.returncode == 0, result.stderr
        assert server.new_token(result.stdout.strip())
        assert not (server.data_dir / "demo-api-key").exists()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []
