"""The handshake, row by row as the contract has it, with three kinds of clients."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio_websocket
import websockets.exceptions
import websockets.sync.client

from tests.support.raw import RawResponse, ask, connect, handshake, opened, read_response
from tests.support.server import Server, create_key, started, ticker
from tests.support.waiting import eventually, wait_until

Headers = dict[str, str | None]
FORGED = "A" * 43 + "." + "A" * 43


async def refused(server: Server, token: str | None = None, **options: object) -> RawResponse:
    """Ask for a stream and be refused, on a connection that the server then closes."""
    async with await connect(server) as stream:
        await stream.send_all(handshake(server, token, **options))  # type: ignore[arg-type]
        response, rest = await read_response(stream)
        assert response.status != 101
        with trio.fail_after(5):
            assert (rest, await stream.receive_some(1)) == (b"", b"")
    assert response.headers["content-type"] == "application/json"
    return response


@pytest.mark.parametrize(
    ("method", "headers", "status", "error"),
    [
        ("POST", {}, 405, "method not allowed"),
        ("HEAD", {}, 405, None),
        ("PUT", {"Upgrade": None, "Connection": None}, 405, "method not allowed"),
        ("GET", {"Upgrade": None, "Connection": None}, 426, "websocket upgrade required"),
        ("GET", {"Upgrade": "h2c"}, 426, "websocket upgrade required"),
        ("GET", {"Sec-WebSocket-Version": "8"}, 426, "websocket version 13 required"),
        ("GET", {}, 401, "authentication required"),
        ("GET", {"Authorization": "Basic dTpw"}, 401, "authentication required"),
        ("GET", {"Sec-WebSocket-Protocol": "ticker.v1"}, 401, "authentication required"),
        ("GET", {"Cookie": "x-auth-token=" + FORGED}, 401, "authentication required"),
        ("GET", {"Authorization": "Bearer nonsense"}, 401, "invalid token"),
        ("GET", {"Authorization": "Bearer " + FORGED}, 401, "invalid token"),
        ("GET", {"Authorization": "Bearer \xe9\xff"}, 401, "invalid token"),
        ("GET", {"Sec-WebSocket-Protocol": "ticker.v1, bearer." + FORGED}, 401, "invalid token"),
    ],
)
async def test_a_fault_is_answered_before_any_upgrade(
    launched: Server, method: str, headers: Headers, status: int, error: str | None
) -> None:
    if method == "HEAD":
        request = handshake(launched, method=method, headers=headers)
        async with await connect(launched) as stream:
            await stream.send_all(request)
            answer = b"".join([bytes(data) async for data in stream])
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.endswith(b"\r\n\r\n")
        return
    response = await refused(launched, method=method, headers=headers)
    assert (response.status, response.error) == (status, error)
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    if status == 405:
        assert response.headers["allow"] == "GET"


async def test_faults_are_looked_for_in_the_order_of_the_document(server: Server) -> None:
    headers: Headers = {
        "Sec-WebSocket-Version": "8",
        "Sec-WebSocket-Key": "short",
        "Authorization": "none",
        "Origin": "https://evil.example",
    }
    request = handshake(server, method="POST", path="/elsewhere", headers=headers)
    request = request.replace(b"HTTP/1.1", b"HTTP/2.0")
    for error, fault, mended in (
        ("HTTP/1.1 required", b"HTTP/2.0", b"HTTP/1.1"),
        ("not found", b"/elsewhere", b"/ws/ticker"),
        ("method not allowed", b"POST", b"GET"),
        ("websocket version 13 required", b"Version: 8", b"Version: 13"),
        ("sec-websocket-key must be 16 bytes in base64", b"short", b"A" * 22 + b"=="),
        ("authentication required", b"none", b"Bearer " + FORGED.encode()),
        ("origin not allowed", b"Origin", b"No-Origin"),
        ("invalid token", FORGED.encode(), server.token().encode()),
    ):
        assert (await ask(server, request)).error == error
        assert fault in request
        request = request.replace(fault, mended)
    assert (await ask(server, request)).status == 101


def test_an_http_client_is_told_to_upgrade(launched: Server) -> None:
    status, headers, body = launched.request("GET", "/ws/ticker")
    assert (status, json.loads(body)) == (426, {"error": "websocket upgrade required"})
    assert headers["upgrade"] == "websocket"
    assert launched.request("POST", "/ws/ticker", body=b"{}")[0] == 405


async def test_the_origin_of_a_page_must_be_our_own(launched: Server) -> None:
    token = launched.token()
    own = f"http://127.0.0.1:{launched.port}"
    async with opened(launched, token, headers={"Origin": own}) as stream:
        assert (await stream.message())["type"] == "welcome"
    for origin in ("https://evil.example", "null", f"https://127.0.0.1:{launched.port}"):
        response = await refused(launched, token, headers={"Origin": origin})
        assert (response.status, response.error) == (403, "origin not allowed")


async def test_refusals_are_counted_by_reason(server: Server) -> None:
    name = 'ticker_handshakes_refused_total{reason="no_token"}'
    before = server.metrics().get(name, 0)
    await refused(server)
    # What is told may be a second old.
    await eventually(lambda: server.metrics().get(name, 0) > before, "the count")


async def test_the_token_may_come_as_a_subprotocol_and_is_never_echoed(launched: Server) -> None:
    token = launched.token()
    offer: Headers = {
        "Authorization": None,
        "Sec-WebSocket-Protocol": f"ticker.v1, bearer.{token}",
    }
    async with opened(launched, token, headers=offer) as stream:
        assert stream.response.headers["sec-websocket-protocol"] == "ticker.v1"
        assert token not in str(stream.response.headers)
        assert (await stream.message())["user_id"] == "user:demo"
    async with opened(launched, token) as stream:
        assert "sec-websocket-protocol" not in stream.response.headers
    assert token not in launched.output


async def test_several_subprotocol_lines_are_one_list(server: Server) -> None:
    more = (
        f"Sec-WebSocket-Protocol: ticker.v1\r\nSec-WebSocket-Protocol: bearer.{server.token()}\r\n"
    )
    async with await connect(server) as stream:
        await stream.send_all(handshake(server, more=more))
        response, _ = await read_response(stream)
        assert response.status == 101


async def test_a_handshake_may_arrive_byte_by_byte(server: Server) -> None:
    request = handshake(server, server.token())
    async with await connect(server) as stream:
        for at in range(len(request)):
            await stream.send_all(request[at : at + 1])
        response, _ = await read_response(stream)
        assert response.status == 101


async def test_a_head_that_is_too_large_is_refused(server: Server) -> None:
    endless = handshake(server, more=f"X-Large: {'x' * 20_000}").removesuffix(b"\r\n")
    response = await ask(server, endless)
    assert response.status == 431
    assert json.loads(response.body) == {"error": "request header fields too large"}


async def _drop_messages(websocket: trio_websocket.WebSocketConnection) -> None:
    while True:
        await websocket.get_message()


async def test_trio_websocket_connects(launched: Server) -> None:
    headers = [(b"Authorization", f"Bearer {launched.token()}".encode())]
    async with trio_websocket.open_websocket_url(
        launched.ws_url, subprotocols=["ticker.v1"], extra_headers=headers
    ) as websocket:
        assert websocket.subprotocol == "ticker.v1"
        assert json.loads(await websocket.get_message())["type"] == "welcome"
        async with trio.open_nursery() as nursery:
            # The library looks no further than the first message that is not taken.
            nursery.start_soon(_drop_messages, websocket)
            with trio.fail_after(10):
                await websocket.ping(b"payload")
            nursery.cancel_scope.cancel()
    assert websocket.closed is not None
    assert websocket.closed.code == 1000


async def test_trio_websocket_learns_why_it_is_refused(launched: Server) -> None:
    # The library leaves the socket of a refused handshake to the garbage collector.
    statuses = []
    try:
        async with await connect(launched) as stream, trio.open_nursery() as nursery:
            await trio_websocket.wrap_client_stream(nursery, stream, "a", "/ws/ticker")
    except* trio_websocket.ConnectionRejected as group:
        statuses = [getattr(error, "status_code", None) for error in _leaves(group)]
    assert statuses == [401]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def test_websockets_connects(launched: Server) -> None:
    token = launched.token()
    with websockets.sync.client.connect(
        launched.ws_url, additional_headers={"Authorization": f"Bearer {token}"}
    ) as websocket:
        assert json.loads(websocket.recv(5))["type"] == "welcome"
        assert websocket.ping(b"x").wait(5)
    assert websocket.close_code == 1000
    subprotocols = [websockets.Subprotocol(name) for name in ("ticker.v1", f"bearer.{token}")]
    with websockets.sync.client.connect(launched.ws_url, subprotocols=subprotocols) as websocket:
        assert websocket.subprotocol == "ticker.v1"
        assert json.loads(websocket.recv(5))["type"] == "welcome"


def test_websockets_learns_why_it_is_refused(launched: Server) -> None:
    # The library leaves the socket of a refused handshake to the garbage collector.
    with (
        socket.create_connection(("127.0.0.1", launched.port)) as connection,
        pytest.raises(websockets.exceptions.InvalidStatus) as caught,
    ):
        websockets.sync.client.connect(launched.ws_url, sock=connection)
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body or b"") == {"error": "authentication required"}


async def test_a_revoked_token_is_invalid(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        token = server.new_token()
        listed = json.loads(ticker(server.data_dir, "tokens", "list", "--json").stdout)
        assert ticker(server.data_dir, "tokens", "revoke", listed[0]["id"]).returncode == 0

        async def invalid() -> bool:
            response = await ask(server, handshake(server, token))
            return response.status == 401 and response.error == "invalid token"

        with trio.fail_after(1):
            while not await invalid():
                await trio.lowlevel.checkpoint()


async def test_an_expired_token_is_invalid(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data", env={"TICKER_TOKEN_TTL": "500ms"}) as server:
        token = server.new_token()

        def expired() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            return server.request("GET", "/prices", headers=headers)[0] == 401

        wait_until(expired, "the token to expire", seconds=3)
        response = await refused(server, token)
        assert (response.status, response.error) == (401, "invalid token")


async def test_a_token_of_another_server_is_invalid(server: Server, tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as other:
        response = await refused(server, other.token())
        assert (response.status, response.error) == (401, "invalid token")


async def test_tokens_survive_a_restart_and_a_rotated_key(tmp_path: Path) -> None:
    old, new = "old-" + "k" * 32, "new-" + "k" * 32
    with started("serve", tmp_path / "data", env={"TICKER_TOKEN_KEY": old}) as server:
        token = server.token()
    with started("serve", tmp_path / "data", env={"TICKER_TOKEN_KEY": f"{new},{old}"}) as server:
        async with opened(server, token) as stream:
            await stream.until("ticker")
        rotated = server.new_token()
    with started("serve", tmp_path / "data", env={"TICKER_TOKEN_KEY": new}) as server:
        assert (await refused(server, token)).status == 401
        async with opened(server, rotated) as stream:
            await stream.until("ticker")


async def test_whom_the_policy_denies_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "ticker.toml").write_text(
        """
        [policies.look]
        effect = "allow"
        actions = ["read"]
        resources = ["*"]
        [roles.reader]
        policies = ["look"]
        """
    )
    with started("serve", tmp_path / "data") as server:
        token = server.new_token(create_key(server, "ada", "--role", "reader"))
        response = await refused(server, token)
        assert (response.status, response.error) == (403, "forbidden")


async def test_a_token_may_come_in_query_or_cookie_where_that_is_on(tmp_path: Path) -> None:
    env = {"TICKER_TOKEN_FROM": "query,cookie"}
    with started("serve", tmp_path / "data", env=env) as server:
        token = server.token()
        assert (await refused(server, token)).error == "authentication required"
        cookie: Headers = {"Cookie": f"a=b; x-auth-token={token}"}
        for request in (
            handshake(server, path=f"/ws/ticker?x-auth-token={token}"),
            handshake(server, headers=cookie),
        ):
            assert (await ask(server, request)).status == 101
        await eventually(lambda: len(server.events("stream_opened")) == 2, "both lines")
        assert token not in server.output


async def test_allowed_origins_may_connect(tmp_path: Path) -> None:
    env = {"TICKER_ALLOWED_ORIGINS": "https://app.example"}
    with started("serve", tmp_path / "data", env=env) as server:
        for origin, status in (("https://app.example", 101), ("https://evil.example", 403)):
            request = handshake(server, server.token(), headers={"Origin": origin})
            assert (await ask(server, request)).status == status


@asynccontextmanager
async def held(server: Server, count: int, token: str) -> AsyncIterator[None]:
    """Hold some streams open."""
    async with AsyncExitStack() as streams:
        for _ in range(count):
            await streams.enter_async_context(opened(server, token))
        yield


@pytest.mark.parametrize(
    ("setting", "status", "error"),
    [
        ("TICKER_MAX_STREAMS", 503, "the server is full"),
        ("TICKER_MAX_STREAMS_PER_TOKEN", 429, "too many streams"),
        ("TICKER_MAX_STREAMS_PER_ADDRESS", 429, "too many streams"),
    ],
)
async def test_a_stream_too_many_is_told_when_to_come_back(
    tmp_path: Path, setting: str, status: int, error: str
) -> None:
    with started("serve", tmp_path / "data", env={setting: "2"}) as server:
        token = server.token()
        async with held(server, 2, token):
            response = await refused(server, token)
            assert (response.status, response.error) == (status, error)
            assert int(response.headers["retry-after"]) > 0
            if "TOKEN" in setting:
                async with held(server, 1, server.new_token()):
                    pass
        server.wait_metric("ticker_streams_open", 0)
        async with held(server, 2, token):
            pass


async def test_any_number_of_handshakes_at_once_pass_no_limit_together(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data", env={"TICKER_MAX_STREAMS": "5"}) as server:
        token, statuses = server.token(), []

        async def try_one() -> None:
            async with await connect(server) as stream:
                await stream.send_all(handshake(server, token))
                statuses.append((await read_response(stream))[0].status)
                if len(statuses) == 30:
                    all_are_open.set()
                await all_are_open.wait()

        all_are_open = trio.Event()
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(try_one)
        assert sorted(statuses) == [101] * 5 + [503] * 25


async def test_an_address_that_is_refused_too_often_must_wait(tmp_path: Path) -> None:
    env = {"TICKER_REFUSED_RATE": "3/minute"}
    with started("serve", tmp_path / "data", env=env) as server:
        for _ in range(3):
            assert (await refused(server)).status == 401
        for token in (None, "nonsense", FORGED):
            response = await refused(server, token)
            assert response.status == 429
            assert 1 <= int(response.headers["retry-after"]) <= 20


async def test_a_token_that_is_known_to_be_good_is_never_shut_out(tmp_path: Path) -> None:
    env = {"TICKER_REFUSED_RATE": "3/hour"}
    with started("serve", tmp_path / "data", env=env) as server:
        for _ in range(5):
            await refused(server)
        async with opened(server, server.token()) as stream:
            assert (await stream.message())["type"] == "welcome"
        headers = {"Authorization": f"Bearer {server.token()}"}
        assert server.request("GET", "/prices", headers=headers)[0] == 200
        assert (await refused(server)).status == 429
