"""The JavaScript client in Node, with servers that are no Ticker, and with a socket of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(__file__).parents[3] / "static" / "client.js"
KEY = "tk_canary"
#: Node reads a file of this ending alone as a module where no package.json says so.
LOADED = """
import { readFileSync } from "node:fs";
const source = readFileSync(process.argv[1], "utf8").replaceAll("import.meta.url", "undefined");
const client = await import(`data:text/javascript,${encodeURIComponent(source)}`);
const args = process.argv.slice(2);
"""
EXCHANGE = """
const [url, apiKey] = args;
const told = (error) => ({ kind: error.kind, terminal: error.terminal, message: error.message });
console.log(JSON.stringify([
    await client.exchange(apiKey, url).catch(told),
    await new client.Tokens({ url, apiKey }).fresh().catch(told),
]));
"""
#: Each connection subscribes to the symbols of its turn, and says that it resumed where it was to.
RESUME = """
const [url, ...turns] = args;
const asked = [];
globalThis.WebSocket = class {
    constructor(address) {
        const resume = address.searchParams.get("resume");
        const symbols = turns[asked.length]?.split(",");
        if (asked.push(resume) > turns.length) process.exit();
        const say = (message) =>
            this.onmessage({ data: JSON.stringify({ epoch: "e", ...message }) });
        const confirm = (id) => {
            say({ type: "subscribed", id, symbols, resumed: resume ? true : undefined });
            const data = symbols.map((symbol) => ({ symbol, price: 1 }));
            if (!resume) say({ type: "ticker", data, seq: 7, time: 0, snapshot: true });
            this.onclose?.({ code: 1006 });
        };
        this.send = (text) => confirm(JSON.parse(text).id);
        this.close = () => {};
        setTimeout(() => {
            this.onopen();
            say({ type: "welcome", seq: 7 });
            if (address.search) confirm();
        });
    }
};
const stream = client.connect({ url, token: "t", mode: "changes" });
stream.addEventListener("state", ({ detail: { name, error } }) => {
    if (name === "waiting") setTimeout(stream.retryNow);
    if (error) throw error;
});
process.on("exit", () => console.log(JSON.stringify(asked)));
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node")


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[bytes]]]:
    """Serve one answer to every request; yields the address, and what was posted."""
    posted: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", posted
        finally:
            server.shutdown()
            thread.join()


def run(script: str, *args: str) -> list[Any]:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", LOADED + script, str(CLIENT), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


def test_no_redirect_is_followed_with_the_key() -> None:
    with (
        answering(200, b'{"token":"theirs"}') as (elsewhere, stolen),
        answering(307, b"", Location=elsewhere) as (url, _),
    ):
        refused, _ = run(EXCHANGE, url, KEY)
    assert stolen == []
    assert (refused["kind"], refused["terminal"]) == ("unexpected", True)


def test_a_page_in_place_of_a_token_is_told_and_not_asked_for_again_and_again() -> None:
    with answering(200, b"<html>a page</html>") as (url, posted):
        refused, _ = run(EXCHANGE, url, KEY)
    assert json.loads(posted[0]) == {"api_key": KEY}
    assert (refused["kind"], refused["terminal"]) == ("unexpected", True)
    assert "no Ticker server" in refused["message"]


@pytest.mark.parametrize("body", [b"{}", b"null", b"[]", b'{"token":7}', b'{"token":"a\\r\\nb"}'])
def test_an_answer_that_holds_no_token_is_none(body: bytes) -> None:
    with answering(200, body) as (url, _):
        _, refused = run(EXCHANGE, url, KEY)
    assert refused["message"] == "there is no token in the answer"
    assert (refused["kind"], refused["terminal"]) == ("unexpected", True)


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        (["A,B", "A", "A"], [None, "e:7", "e:7", "e:7"]),
        (["A", "A,B", "A,B"], [None, "e:7", None, "e:7"]),
    ],
    ids=["fewer", "more"],
)
def test_what_is_resumed_has_no_symbol_that_was_not_held(
    turns: list[str], asked: list[str | None]
) -> None:
    """What stands still of it would be missing: it is asked for anew."""
    assert run(RESUME, "http://ticker.example/", *turns) == asked
