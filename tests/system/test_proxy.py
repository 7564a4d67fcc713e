"""Behind a real nginx, as docs/operations.md says, at the root and below a path."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.support.raw import ask, handshake, opened
from tests.support.server import Server, started
from tests.support.waiting import wait_until

NGINX: Final = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_RECIPE: Final = re.compile(r"```nginx\n(.*?)```", re.DOTALL)
_OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations.md"
TRUSTED: Final = {"TICKER_TRUSTED_HOPS": "1"}

pytestmark = pytest.mark.skipif(
    NGINX is None and os.environ.get("CI") != "true", reason="nginx is not installed"
)

#: What stands around the recipe in `nginx.conf`, for a process without rights or a terminal.
_CONFIGURATION: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{recipe}
}}
"""


def recipe(number: int) -> str:
    """Return one of the recipes of docs/operations.md."""
    found: list[str] = _RECIPE.findall(_OPERATIONS.read_text("utf-8"))
    return found[number]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Proxied(Server):
    """A server as it is seen through the proxy."""

    def __init__(self, server: Server, port: int, prefix: str) -> None:
        self.process = server.process
        self.data_dir = server.data_dir
        self.pid = server.pid
        self.port = port
        self.prefix = prefix
        self.url = f"http://127.0.0.1:{port}"
        self.lines = server.lines
        self._token = ""

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        return super().request(method, self.prefix + path, body=body, headers=headers)


@contextmanager
def proxied(server: Server, text: str, folder: Path, prefix: str = "") -> Iterator[Proxied]:
    """Run nginx in front of a server until the block is left."""
    assert NGINX is not None
    folder.mkdir()
    port = free_port()
    text = text.replace("127.0.0.1:8081", f"127.0.0.1:{server.port}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    path = folder / "nginx.conf"
    path.write_text(_CONFIGURATION.format(folder=folder, recipe=text))
    command = [NGINX, "-e", f"{folder}/error.log", "-p", str(folder), "-c", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as nginx:
        try:

            def listening() -> bool:
                assert nginx.poll() is None, nginx.stderr and nginx.stderr.read()
                with socket.socket() as probe:
                    return probe.connect_ex(("127.0.0.1", port)) == 0

            wait_until(listening, "nginx to listen")
            yield Proxied(server, port, prefix)
        finally:
            nginx.terminate()
            nginx.wait(10)


def http_works(proxy: Proxied) -> None:
    """Try the page, its files, the prices and tokens through a proxy."""
    status, _, page = proxy.request("GET", "/")
    assert status == 200
    assert b"<title" in page
    files = set(re.findall(r'(?:src|href)="(\./[^"]+)"', page.decode()))
    assert files
    for name in files:
        assert proxy.request("GET", f"/{name}")[0] == 200, name
    assert proxy.request("GET", "/healthz")[0] == 200
    bearer = {"Authorization": f"Bearer {proxy.token()}"}
    assert proxy.request("GET", "/prices", headers=bearer)[0] == 200
    assert proxy.request("POST", "/auth/token", body='{"api_key": "nonsense"}')[0] == 401


async def everything_works(proxy: Proxied) -> None:
    """Try HTTP, and the stream from our own page and from a foreign one."""
    http_works(proxy)
    path = f"{proxy.prefix}/ws/ticker"
    async with opened(proxy, headers={"Origin": proxy.url}, path=path) as stream:
        assert (await stream.until("welcome"))["user_id"] == "user:demo"
        first = (await stream.until("ticker"))["seq"]
        assert (await stream.until("ticker"))["seq"] > first
    foreign = {"Origin": "https://evil.example"}
    refused = await ask(proxy, handshake(proxy, proxy.token(), path=path, headers=foreign))
    assert refused.status == 403


async def test_the_recipe_serves_everything_at_the_root(tmp_path: Path) -> None:
    with (
        started("serve", tmp_path / "data", env=TRUSTED) as server,
        proxied(server, recipe(0), tmp_path / "nginx") as proxy,
    ):
        await everything_works(proxy)
        event = server.wait_event("stream_opened")
        assert event["address"] == "127.0.0.1"


async def test_the_recipe_serves_everything_below_a_path_that_nginx_takes_off(
    tmp_path: Path,
) -> None:
    with (
        started("serve", tmp_path / "data", env=TRUSTED) as server,
        proxied(server, recipe(1), tmp_path / "nginx", "/prices-live") as proxy,
    ):
        await everything_works(proxy)


async def test_below_a_path_that_stays_on_hypercorn_is_told_of_it(tmp_path: Path) -> None:
    text = recipe(1).replace("127.0.0.1:8081/;", "127.0.0.1:8081;")
    text = text.replace("proxy_pass http://ticker/;", "proxy_pass http://ticker;")
    with (
        started(
            "hypercorn", tmp_path / "data", env=TRUSTED, args=["--root-path", "/prices-live"]
        ) as server,
        proxied(server, text, tmp_path / "nginx", "/prices-live") as proxy,
    ):
        await everything_works(proxy)
        # HTTP and the stream agree that there is nothing anywhere else.
        assert server.request("GET", "/healthz")[0] == 404
        refused = await ask(server, handshake(server, proxy.token()))
        assert refused.status == 404


def test_connections_that_nginx_keeps_are_closed_by_it_and_not_by_us(
    tmp_path: Path,
) -> None:
    """Where we close first, nginx may send a request into the closing connection: 502."""
    with (
        started("serve", tmp_path / "data", env=TRUSTED) as server,
        proxied(server, recipe(0), tmp_path / "nginx") as proxy,
        httpx.Client(base_url=proxy.url) as client,
    ):
        for _ in range(200):
            assert client.get("/healthz").status_code == 200
        assert server.metrics()["ticker_connections_open"] <= 20
