"""Secrets show up nowhere but where they are given out, whatever the program goes through."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.support.raw import RawStream, ask, connect, handshake, opened, read_response
from tests.support.server import (
    LAUNCHES,
    Launch,
    Server,
    create_key,
    environment,
    key_id,
    script,
    started,
    ticker,
)
from ticker.security.keys import new_key
from ticker.security.tokens import TokenSigner

#: Everything that Hypercorn can be made to write about a request's address and origin.
EVERY_ATOM: Final = "%(r)s %(R)s %(U)s %(Uq)s %(q)s %(f)s %(a)s %({cookie}i)s %({x-api-key}i)s"


@attrs.define
class Canary:
    """A server, the secrets it must not show, and everything it answered."""

    server: Server
    api_key: str
    demo_key: str
    token_key: str
    forged: str = attrs.field(factory=lambda: TokenSigner((secrets.token_bytes(32),)).issue()[0])
    unknown_key: str = attrs.field(factory=lambda: new_key().text)
    tokens: list[str] = attrs.field(factory=list)
    answers: list[bytes] = attrs.field(factory=list)

    @property
    def secrets(self) -> list[str]:
        """What must not be found: whole, and without what is public of it."""
        keys = [self.api_key, self.unknown_key, self.demo_key]
        pepper = (self.server.data_dir / "key-pepper").read_text().strip()
        return [
            *keys,
            *(key[14:] for key in keys),
            *self.tokens,
            *(token.partition(".")[0] for token in self.tokens),
            self.forged,
            self.token_key,
            pepper,
            *(base64.b64encode(secret.encode()).decode().rstrip("=") for secret in keys),
        ]

    def token(self) -> str:
        """Exchange the key; the one answer that may hold a secret."""
        self.tokens.append(self.server.new_token(self.api_key))
        return self.tokens[-1]

    def http(self, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        """Make a request whose answer must not hold a secret."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, answered, content = self.server.request(method, path, body=body, headers=named)
        self.answers += [repr(answered).encode(), content]
        return status

    async def stream(self, token: str, **options: object) -> RawStream:
        """Open a stream, talk nonsense with the token in it, and note every answer."""
        async with opened(self.server, token, **options) as stream:  # type: ignore[arg-type]
            self.answers.append(repr(stream.response.headers).encode())
            await stream.until("ticker")
            for index, message in enumerate(misplaced(token, self.api_key)):
                await stream.send(message)
                answer = await stream.until("error")
                self.answers.append(json.dumps(answer).encode())
                if index % 4 == 3:
                    break
            await stream.send({"type": "auth", "token": token, "id": 1})
            self.answers.append(json.dumps(await stream.until("authenticated")).encode())
        return stream


def misplaced(token: str, key: str) -> list[str]:
    """Messages with a secret where none belongs."""
    return [
        json.dumps({"type": "auth", "tokn": token}),
        json.dumps({"type": "subscribe", "symbols": [key]}),
        '{"type":"auth","token":"' + token,
        json.dumps({"type": token}),
    ]


@pytest.fixture(params=LAUNCHES)
def canary(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Canary]:
    """Run a server with every place for tokens open and with a log of every request."""
    launch: Launch = request.param
    token_key = secrets.token_hex(32)
    env = {"TICKER_TOKEN_KEY": token_key, "TICKER_TOKEN_FROM": "header,subprotocol,query,cookie"}
    # Through `ticker serve` there is no access log.
    args = ["--access-logfile", "-", "--access-logformat", EVERY_ATOM]
    args += ["--error-logfile", "-", "--log-level", "DEBUG"]
    with started(
        launch, tmp_path / "data", env=env, args=args if launch == "hypercorn" else []
    ) as server:
        demo_key = server.api_key
        yield Canary(server, create_key(server, "ada"), demo_key, token_key)


async def test_no_secret_is_found_anywhere_after_a_full_run(canary: Canary) -> None:
    server, key = canary.server, canary.api_key
    tokens = [canary.token() for _ in range(5)]
    bearer = f"Bearer {tokens[0]}"
    # Good ways.
    assert canary.http("GET", "/prices", Authorization=bearer) == 200
    await canary.stream(tokens[0])
    offer = {"Authorization": None, "Sec-WebSocket-Protocol": f"ticker.v1, bearer.{tokens[1]}"}
    await canary.stream(tokens[1], headers=offer)
    cookie = {"Authorization": None, "Cookie": f"x-auth-token={tokens[2]}"}
    await canary.stream(tokens[2], headers=cookie)
    await query_stream(canary, tokens[3])
    # Bad ways: keys.
    for body in (
        {"api_key": canary.unknown_key},
        {"api_key": key[:-1] + "!"},
        {"api_key": [key]},
        {"key": key},
        [key],
    ):
        assert canary.http("POST", "/auth/token", json.dumps(body).encode()) in {400, 401}
    assert canary.http("POST", "/auth/token", f'{{"api_key": "{key}"'.encode()) == 400
    assert canary.http("POST", "/auth/token", f'{{"api_key": "{key * 100}"}}'.encode()) == 413
    # Bad ways: secrets in addresses, of requests that reach Hypercorn and that do not.
    for secret in (tokens[4], key):
        for path in (
            f"/prices/{secret}",
            f"/prices?x-auth-token={secret}",
            f"/?x-auth-token={secret}",
            f"/{secret}",
            f"/assets/{secret}.js",
            f"/auth/token?api_key={secret}",
            f"/ws/ticker/{secret}",
            f"/ws/ticker?token={secret}",
        ):
            canary.http("GET", path, Referer=f"http://a.example{path}", User_Agent=secret)
            canary.http("GET", path, X_Api_Key=secret, Cookie=f"x-auth-token={secret}")
            canary.http("PUT", path, Authorization=f"Basic {secret}")
    await kept_connection(canary, tokens[3])
    # Bad ways: handshakes.
    for token, headers, status in (
        (canary.forged, {}, 401),
        (tokens[0] + "x", {}, 401),
        (tokens[0], {"Origin": f"http://{tokens[0]}.example"}, 403),
        (tokens[0], {"Cookie": f"x-auth-token={tokens[1]}"}, 400),
        (tokens[0], {"Sec-WebSocket-Key": tokens[0]}, 400),
        (tokens[0], {"Sec-WebSocket-Version": tokens[0]}, 426),
        (tokens[0], {"Host": None, "X-A": tokens[0]}, 400),
    ):
        response = await ask(server, handshake(server, token, headers=headers))
        canary.answers += [repr(response.headers).encode(), response.body]
        assert response.status == status
    async with await connect(server) as peer:  # not HTTP at all
        await peer.send_all(f"{tokens[0]} {key}\r\n\r\n".encode())
        canary.answers.append(bytes(await peer.receive_some(4096)))
    # What is looked at, revoked, and scraped.
    listed = [ticker(server.data_dir, what, "list", "--json") for what in ("keys", "tokens")]
    canary.answers += [shown.stdout.encode() + shown.stderr.encode() for shown in listed]
    assert ticker(server.data_dir, "keys", "revoke", key_id(key)).returncode == 0
    server.wait_event("stream_closed", count=4)
    assert canary.http("GET", "/metrics") == 200
    nothing_leaked(canary, stopped=False)
    server.stop()
    nothing_leaked(canary, stopped=True)


async def query_stream(canary: Canary, token: str) -> None:
    """Open a stream with the token in the query."""
    path = f"/ws/ticker?x-auth-token={token}"
    async with await connect(canary.server) as socket:
        await socket.send_all(handshake(canary.server, path=path))
        response, rest = await read_response(socket)
        assert response.status == 101
        canary.answers.append(repr(response.headers).encode())
        assert (await RawStream(socket, response, rest).message())["type"] == "welcome"


async def kept_connection(canary: Canary, token: str) -> None:
    """Send secrets in the later requests of one connection, the last of which is a stream's."""
    async with await connect(canary.server) as socket:
        for path in ("/healthz", f"/healthz?x-auth-token={token}", f"/prices/{token}"):
            await socket.send_all(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
            response, rest = await read_response(socket)
            canary.answers.append(response.body)
            assert response.status in {200, 401}
        path = f"/ws/ticker?x-auth-token={token}"
        await socket.send_all(handshake(canary.server, path=path))
        response, rest = await read_response(socket)
        assert response.status == 101
        assert (await RawStream(socket, response, rest).message())["type"] == "welcome"


def nothing_leaked(canary: Canary, *, stopped: bool) -> None:
    """Look for every secret in all that the program said or kept."""
    server = canary.server
    kept = {path.name: path.read_bytes() for path in server.data_dir.iterdir() if path.is_file()}
    # Where it belongs; the demo key's file is gone with the demo key.
    assert kept.pop("key-pepper")
    databases = {f"{name}.db{end}" for name in ("auth", "history") for end in ("", "-wal", "-shm")}
    shared = {"server.lock", "start.lock", "feeder.lock", "market.lock", "limits.table"}
    assert set(kept) <= databases | shared, set(kept)
    assert kept["auth.db"]
    (told,) = [line for line in server.lines if line.startswith("{") and tells_demo_key(line)]
    events = [line for line in server.lines if line != told]
    if server.pid != server.process.pid:
        assert any("/healthz?x-auth-token=***" in line for line in events), server.output
        assert any("/prices/***" in line for line in events), server.output
        # Hypercorn's access log never hears of a stream.
        assert not any(re.search(r'/ws/ticker[^"]*\\" 101 ', line) for line in events)
    searched = {"output": "\n".join(events).encode(), "answers": b"\n".join(canary.answers), **kept}
    for name, content in searched.items():
        for secret in canary.secrets:
            assert secret.encode() not in content, f"{name} (stopped={stopped}) holds {secret}"


def tells_demo_key(line: str) -> bool:
    """Whether a line is the one that may hold a key."""
    return bool(json.loads(line)["event"] == "demo_api_key")


@pytest.mark.parametrize("launch", LAUNCHES)
def test_a_fault_in_the_settings_does_not_show_a_secret(tmp_path: Path, launch: Launch) -> None:
    secret = "c4nary-" + secrets.token_hex(16)
    env = {
        "TICKER_TOKEN_KEY": f"{secret},,",
        "TICKER_DATABASE_URL": f"postgresql+psycopg://ticker:{secret}@db:x/prices",
        "TICKER_TICK": "soon",
    }
    with started(launch, tmp_path / "data", env=env, listen=False) as server:
        server.wait(20)
    assert "TICKER_TICK" in server.output
    assert secret not in server.output
    shown = subprocess.run(
        [script("ticker"), "config"],
        cwd=tmp_path,
        env=environment(tmp_path / "data", env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert shown.returncode == 2
    assert secret not in shown.stdout + shown.stderr


def test_the_shown_settings_hold_no_secret(tmp_path: Path) -> None:
    secret = "c4nary-" + secrets.token_hex(16)
    env = {
        "TICKER_TOKEN_KEY": secret,
        "TICKER_FEED_PROXY": f"http://ticker:{secret}@proxy.example:8080",
    }
    shown = subprocess.run(
        [script("ticker"), "config"],
        cwd=tmp_path,
        env=environment(tmp_path / "data", env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "http://***@proxy.example:8080" in shown.stdout
    assert secret not in shown.stdout + shown.stderr


def test_a_core_of_statistics_and_settings_shows_no_secret(tmp_path: Path) -> None:
    """What `repr` says of the live objects, which is what a debugger or a crash log prints."""
    script = """
import sys, trio
from ticker import service
from ticker.settings.loader import load

async def main():
    settings = load(options={}).settings
    async with service.running(settings) as running:
        engine = running.engine
        authority = running.authority
        issued = await authority.exchange(running.demo_key, "127.0.0.1")
        print("SECRETS", running.demo_key, issued.token, settings.token_key[0].decode())
        for shown in (settings, running, engine, engine.statistics(), authority,
                      authority.statistics(), issued, issued.grant, vars(authority)):
            print("SHOWN", repr(shown))

trio.run(main)
"""
    env = environment(tmp_path / "data", {"TICKER_TOKEN_KEY": secrets.token_hex(32)})
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    shown = [line for line in lines if line.startswith("SHOWN")]
    assert len(shown) == 9
    given = next(line for line in lines if line.startswith("SECRETS")).split()[1:]
    assert len(given) == 3
    for secret in given:
        assert not [line for line in shown if secret in line]
