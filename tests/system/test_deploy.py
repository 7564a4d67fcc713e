"""The files of `deploy/`: as far as they can be tried without containers, on the real programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import yaml  # type: ignore[import-untyped]

from tests.support.programs import needed
from tests.support.redis_server import free_port
from tests.support.server import environment, script
from tests.support.waiting import wait_until
from ticker.cluster.bus import BusUnavailableError, Elected
from ticker.cluster.redis_bus import open_bus
from ticker.settings.bus_address import parse_bus

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
NODES: Final = ("node-1", "node-2")


def variables(path: Path, *, commented: bool = False) -> dict[str, str]:
    """Read a file of variables, and what is commented out in it where that is asked for."""
    hash_ = "#?" if commented else ""
    found = re.findall(rf"^{hash_}([A-Z_]+)=(.*)$", path.read_text("utf-8"), re.MULTILINE)
    return dict(found)


SECRETS: Final = variables(DEPLOY / "compose" / ".env.example")


def settings_of(node: str) -> dict[str, str]:
    """Return the environment of a node as Compose would."""

    def value(match: re.Match[str]) -> str:
        return SECRETS[match[1]]

    given: dict[str, str] = COMPOSE["services"][node]["environment"]
    return {name: re.sub(r"\$\{([A-Z_]+):\?[^}]*\}", value, text) for name, text in given.items()}


def config(tmp_path: Path, env: dict[str, str]) -> str:
    """Run `ticker config` with some settings and return what it says."""
    shown = subprocess.run(
        [script("ticker"), "config"],
        cwd=tmp_path,
        env=environment(tmp_path / "data", env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    return shown.stdout


def test_the_settings_of_both_nodes_are_good_and_the_same(tmp_path: Path) -> None:
    one, two = map(settings_of, NODES)
    assert one == two
    shown = config(tmp_path, one)
    for secret in SECRETS.values():
        assert secret not in shown


def test_the_services_that_are_named_in_addresses_exist() -> None:
    address = parse_bus(settings_of("node-1")["TICKER_BUS"])
    assert {host for host, _ in address.hosts} <= set(COMPOSE["services"])
    for name in NODES:
        volumes = COMPOSE["services"][name]["volumes"]
        assert [volume.split(":")[0] for volume in volumes] == [name]
        assert name in COMPOSE["volumes"]


@pytest.mark.parametrize("commented", [False, True])
def test_the_settings_of_the_unit_are_good(tmp_path: Path, *, commented: bool) -> None:
    config(tmp_path, variables(DEPLOY / "systemd" / "ticker.env.example", commented=commented))


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    unit = (DEPLOY / "systemd" / "ticker.service").read_text()
    assert "/opt/ticker/bin/ticker serve" in unit
    tried = tmp_path / "ticker.service"
    tried.write_text(unit.replace("/opt/ticker/bin/ticker", script("ticker")))
    shown = subprocess.run(
        [analyze, "verify", "--man=no", str(tried)], capture_output=True, text=True, check=False
    )
    # What it says of other units of this machine is none of this file's business.
    faults = [line for line in shown.stderr.splitlines() if "ticker.service" in line]
    assert faults == []


def test_nginx_finds_no_fault_in_its_configuration(tmp_path: Path) -> None:
    nginx = needed("nginx", "/usr/sbin")
    text = (DEPLOY / "compose" / "nginx.conf").read_text()
    for node in NODES:
        assert f"server {node}:8081;" in text
        text = text.replace(f"server {node}:", "server 127.0.0.1:")
    tried = tmp_path / "nginx.conf"
    tried.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\nhttp {{\n{text}\n}}\n"
    )
    shown = subprocess.run(
        [nginx, "-t", "-p", str(tmp_path), "-c", str(tried)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr


def test_the_container_is_built_from_files_that_exist() -> None:
    lines = (DEPLOY / "container" / "Containerfile").read_text().splitlines()
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    root = DEPLOY.parent
    assert copied
    assert [name for name in copied if not (root / name).exists()] == []
    assert COMPOSE["services"]["node-1"]["build"]["dockerfile"] == (
        "deploy/container/Containerfile"
    )


class Servers:
    """The Redis servers and Sentinels of the compose file, as processes of this machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        names = [name for name, each in COMPOSE["services"].items() if "redis.sh" in str(each)]
        self.ports = {name: free_port() for name in names}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # Names that need no resolver, each of this machine alone.
        self.hosts = {name: f"127.0.0.{number}" for number, name in enumerate(names, 2)}
        for name in names:
            _, _, kind, _, *primary = COMPOSE["services"][name]["command"].split()
            words = [kind, self.hosts[name], self.hosts[primary[0]] if primary else ""]
            words += [str(self.ports[name]), str(self.ports[primary[0] if primary else name])]
            self.processes[name] = process = subprocess.Popen(
                ["/bin/sh", str(DEPLOY / "compose" / "redis.sh"), *words],
                env={**os.environ, "REDIS_FOLDER": str(folder), **SECRETS},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

    @property
    def url(self) -> str:
        """The address of the Sentinels, as in the settings of a node."""
        url = settings_of("node-1")["TICKER_BUS"]
        for name, port in self.ports.items():
            url = url.replace(name, f"{self.hosts[name]}:{port}")
        return url


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    needed("redis-server")
    with ExitStack() as stack:
        yield Servers(tmp_path, stack)


async def elected(url: str) -> bool:
    """Whether the lease can be had, which needs a primary with a replica."""
    try:
        async with open_bus(parse_bus(url), "ticker", "test") as bus:
            return isinstance(await bus.elect(), Elected)
    except BusUnavailableError:
        return False


def test_redis_and_its_sentinels_serve_a_market_and_fail_over(servers: Servers) -> None:
    wait_until(lambda: trio.run(elected, servers.url), "a primary with a replica", seconds=60)
    wait_until(lambda: sentinels_agree(servers), "the Sentinels to know each other", seconds=60)
    servers.processes["redis-1"].kill()
    wait_until(lambda: trio.run(elected, servers.url), "the failover", seconds=60)


def sentinels_agree(servers: Servers) -> bool:
    """Whether the first Sentinel knows of two replicas and two other Sentinels."""
    cli = shutil.which("redis-cli")
    if cli is None:
        return True
    shown = subprocess.run(
        [
            *(cli, "-p", str(servers.ports["sentinel-1"]), "-a", SECRETS["REDIS_PASSWORD"]),
            *("--no-auth-warning", "info", "sentinel"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "slaves=2,sentinels=3" in shown.stdout
