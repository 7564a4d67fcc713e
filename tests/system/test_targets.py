"""One resource has one behaviour, however its target is spelled, and no method but its own."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.support.raw import ask, connect, handshake, read_response
from tests.support.server import Server, started
from ticker import limits

ORIGIN = "https://page.example"
SPELLINGS = ["/stream", "//stream", "/%73tream", "/%2Fstream", "http://other.example/stream"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets the page of another origin ask, five times at once."""
    env = {
        "TICKER_ALLOWED_ORIGINS": ORIGIN,
        "TICKER_HTTP_RATE": "1/minute",  # five at once
    }
    with started("serve", tmp_path_factory.mktemp("targets") / "data", env=env) as server:
        yield server


def request(target: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: a", *lines, "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1")


@pytest.mark.parametrize("target", SPELLINGS)
async def test_every_spelling_of_the_stream_is_admitted_alike(tmp_path: Path, target: str) -> None:
    env = {"TICKER_TOKEN_FROM": "header,query", "TICKER_MAX_STREAMS_PER_TOKEN": "1"}
    with started("serve", tmp_path / "data", env=env) as server:
        token = server.token()
        assert (await ask(server, request(target))).status == 401
        async with await connect(server) as stream:
            await stream.send_all(request(f"{target}?x-auth-token={token}"))
            with trio.fail_after(10):
                answer = await stream.receive_some(4096)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            bearer = f"Authorization: Bearer {token}"
            assert (await ask(server, request(target, bearer))).status == 429
            assert (await ask(server, handshake(server, token))).status == 429
    assert token not in server.output


@pytest.mark.parametrize(
    "path", ["//ws/ticker", "/%77s/ticker", "/ws%2Fticker", "http://other.example/ws/ticker"]
)
async def test_every_spelling_of_the_websocket_is_it(server: Server, path: str) -> None:
    response = await ask(server, handshake(server, server.token(), path=path))
    assert response.status == 101
    assert (await ask(server, request(path))).status == 426


@pytest.mark.parametrize("target", ["http://a", "HTTP://a:80", "http://a?x=1", "http://a/"])
async def test_an_absolute_target_without_a_path_is_the_page(server: Server, target: str) -> None:
    response = await ask(server, request(target))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "target",
    ["stream", "*", "a:80", "ftp://a/prices", "http:///prices", "http:/prices", "/prices#a"],
)
async def test_a_target_that_is_none_is_a_bad_request(server: Server, target: str) -> None:
    response = await ask(server, request(target, f"Authorization: Bearer {server.token()}"))
    assert (response.status, response.error) == (400, "the request's target cannot be read")


async def test_a_target_with_a_password_is_refused_and_not_logged(server: Server) -> None:
    response = await ask(server, request("http://user:hunter2-secret@a/prices"))
    assert response.status == 400
    assert "hunter2-secret" not in server.output


@pytest.mark.parametrize("method", ["get", "Post", "CONNECT"])
async def test_a_method_that_no_resource_has_is_not_implemented(
    server: Server, method: str
) -> None:
    for target in ("/prices", "/auth/token", "/"):
        response = await ask(server, request(target, "Content-Length: 0", method=method))
        assert (response.status, response.error) == (501, "method not implemented")
    assert (await ask(server, handshake(server, server.token(), method="get"))).status == 405


@pytest.mark.parametrize(
    "body",
    [
        "Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
)
async def test_a_body_that_breaks_http_is_answered_as_every_fault(
    server: Server, body: str
) -> None:
    head = "POST /auth/token HTTP/1.1\r\nHost: a\r\n"
    response = await ask(server, (head + body).encode())
    assert (response.status, response.error) == (400, "bad request")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["connection"] == "close"


async def test_a_request_in_chunks_is_answered_whatever_follows_and_is_the_last(
    server: Server,
) -> None:
    head = b"POST /auth/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    for length in (b"", b"Content-Length: 30\r\n"):
        async with await connect(server) as stream:
            chunks = b"2\r\n{}\r\n0\r\n\r\n"
            await stream.send_all(head + length + b"\r\n" + chunks + request("/healthz"))
            response, rest = await read_response(stream)
            assert (response.status, response.error) == (400, "api_key required")
            assert response.headers["connection"] == "close"
            with trio.fail_after(10):
                assert (rest, await stream.receive_some(1)) == (b"", b"")


async def test_a_body_that_never_ends_is_answered_as_every_fault(server: Server) -> None:
    async with await connect(server) as stream:
        await stream.send_all(b"POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        response, _ = await read_response(stream, limits.BODY_SECONDS + 20)
    assert (response.status, response.error) == (408, "request timeout")


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_client_that_leaves_at_any_moment_is_no_error(
    server: Server,
    reset: bool,  # noqa: FBT001 - a table
) -> None:
    known = len(server.lines)
    posted = (
        b'POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\n{"api_key": "tk_a"}'
    )
    async with trio.open_nursery() as nursery:
        for size in [*range(60, len(posted)), *[len(posted)] * 20]:
            nursery.start_soon(_leave, server, posted[:size], reset)
        for target in ("/", "/metrics", "/history?symbols=BTC-USD", "/stream"):
            for _ in range(10):
                bearer = f"Authorization: Bearer {server.token()}"
                nursery.start_soon(_leave, server, request(target, bearer), reset)
    server.wait_metric("ticker_streams_open", 0)
    faults = [line for line in server.lines[known:] if '"level":"error"' in line]
    assert not faults


async def _leave(server: Server, data: bytes, reset: bool) -> None:  # noqa: FBT001 - a table
    async with await connect(server) as stream:
        if reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.send_all(data)


async def test_asking_whether_it_may_ask_takes_nothing_of_a_page(shared: Server) -> None:
    lines = [f"Origin: {ORIGIN}", "Access-Control-Request-Method: GET"]
    statuses = set()
    async with await connect(shared) as stream:
        preflight = "\r\n".join(["OPTIONS /prices HTTP/1.1", "Host: a", *lines, "", ""]).encode()
        for _ in range(5):
            await stream.send_all(preflight)
            response, _ = await read_response(stream)
            statuses.add(response.status)
            assert int(response.headers["access-control-max-age"]) >= 600
    assert statuses == {200}
    assert (await ask(shared, request("/prices", f"Origin: {ORIGIN}"))).status == 401
    body = json.dumps({"api_key": shared.api_key})
    post = request("/auth/token", f"Content-Length: {len(body)}", method="POST") + body.encode()
    assert (await ask(shared, post)).status == 200
