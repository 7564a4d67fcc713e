"""The page and its client below a path: of a real nginx, which takes it away, and of the server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import Tab
from tests.browser.driver import expect
from tests.browser.program import Program, free_port

pytestmark = pytest.mark.browser

CONFIGURATION = """
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
    server {{
        listen 127.0.0.1:{port};
        location /prices/ {{
            proxy_pass {url}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""


@pytest.fixture
def below(shared: Program, tmp_path: Path) -> Iterator[Program]:
    """The shared server as it is seen below a path of nginx."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is needed")
    behind = Behind(shared.directory, port=free_port())
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=tmp_path, port=behind.port, url=shared.url), "utf-8"
    )
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(configuration)])
    try:
        behind.wait()
        yield behind
    finally:
        process.terminate()
        process.wait(10)


class Behind(Program):
    """Where the page is seen; the program itself runs elsewhere."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/prices"


class Rooted(Program):
    """The program under Hypercorn's command, with a path of its own that no proxy takes away."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/prices"

    def _command(self) -> list[str]:
        options = ["--worker-class", "trio", "--root-path", "/prices"]
        bind = ["--bind", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-m", "hypercorn", *options, *bind, "ticker.asgi:app"]


@pytest.fixture
def rooted(tmp_path: Path) -> Iterator[Program]:
    program = Rooted(tmp_path)
    program.start()
    yield program
    program.stop()


def test_page_and_stream_work_below_a_path_that_stays_on(tab: Tab, rooted: Program) -> None:
    test_page_and_stream_work_below_a_path(tab, rooted)


def test_page_and_stream_work_below_a_path(tab: Tab, below: Program) -> None:
    page = tab.open(below)
    page.goto("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    page.goto(f"{below.url}/#key={below.demo_key}")
    expect(page.locator("#state")).to_have_text("Live")
    expect(page).to_have_url(f"{below.url}/#BTC-USD/5m")
    assert f"{below.url}/auth/token" in asked
    assert f"{below.url}/ws/ticker" in asked
    assert not [url for url in asked if not url.startswith(f"{below.url}/")]


def test_a_place_within_the_page_finds_its_files_however_deep(tab: Tab, below: Program) -> None:
    page = tab.open(below)
    page.goto(f"{below.url}/some/where/deep")
    expect(page.get_by_label("API key")).to_be_focused()
    assert page.locator("h1").evaluate("(node) => getComputedStyle(node).fontSize") == "16px"


def test_the_client_finds_its_server_from_where_it_was_served(tab: Tab, below: Program) -> None:
    page = tab.open(below)
    page.goto(f"{below.url}/icon.svg")
    symbols = page.evaluate(
        """async (apiKey) => {
            const { connect } = await import("./client.js");
            const client = await connect({ apiKey, symbols: ["BTC-USD"] });
            await new Promise((resolve) => client.addEventListener("ticker", resolve));
            const { data } = await client.get("/prices");
            client.close();
            return [[...client.latest.keys()], data.length];
        }""",
        below.demo_key,
    )
    assert symbols == [["BTC-USD"], 3]
