"""`GET /stream`: lines and server-sent events, with the rules of every stream."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.mirror import Mirror
from tests.support.server import Server, key_id, started, ticker
from tests.support.waiting import wait_until

#: What the reader's kernel takes: a few messages.
TINY = 2304


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("serve", tmp_path_factory.mktemp("stream") / "data") as running:
        yield running


class Response:
    """A response that is read as it comes, without a library."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self._data = b""
        self.ended = False

    def close(self) -> None:
        """Let go of the socket."""
        self._file.close()

    def read(self) -> bytes:
        """Return what the next chunk holds; empty at the end (RFC 9112 §7.1)."""
        size = int(self._file.readline() or b"0", 16)
        data = self._file.read(size)
        self._file.readline()
        self.ended = not size
        return data

    def until(self, end: bytes) -> bytes | None:
        """Return what comes before the next of these; None at the end of the response."""
        while end not in self._data:
            data = self.read()
            if not data:
                return None
            self._data += data
        found, _, self._data = self._data.partition(end)
        return found

    def line(self) -> dict[str, Any]:
        """Return the next line, read as JSON."""
        found = self.until(b"\n")
        assert found is not None
        message: dict[str, Any] = json.loads(found)
        return message

    def event(self) -> dict[str, str] | None:
        """Return the fields of the next server-sent event."""
        while (found := self.until(b"\n\n")) is not None:
            if not found.startswith(b":"):
                fields = (field.partition(": ") for field in found.decode().split("\n"))
                return {name: value for name, _, value in fields}
        return None


@contextmanager
def opened(
    server: Server, query: str = "", *, method: str = "GET", **headers: str
) -> Iterator[Response]:
    """Ask for a stream; `Last_Event_ID` stands for `Last-Event-ID`."""
    fields = {"Host": "x", "Authorization": f"Bearer {server.token()}"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    with socket.socket() as connection:
        connection.settimeout(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"{method} /stream{query} HTTP/1.1\r\n{lines}\r\n".encode())
        response = Response(connection)
        try:
            yield response
        finally:
            response.close()


def test_lines_say_what_a_websocket_says(server: Server) -> None:
    with opened(server, "?symbols=BTC-USD,ETH-USD&mode=changes") as response:
        assert response.status == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.line()["type"] == "welcome"
        answer = response.line()
        assert (answer["type"], answer["mode"]) == ("subscribed", "changes")
        mirror = Mirror()
        for _ in range(50):
            mirror.apply(response.line())
        assert mirror.book.keys() == {"BTC-USD", "ETH-USD"}
    server.wait_metric("ticker_streams_open", 0)


def test_events_have_ids_on_prices_alone_and_are_resumed_from_the_last(server: Server) -> None:
    events = {"Accept": "text/event-stream"}
    mirror = Mirror()
    with opened(server, "?mode=every", **events) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first, second = response.event(), response.event()
        assert first is not None
        assert second is not None
        assert first.keys() == second.keys() == {"data"}
        epoch = json.loads(first["data"])["epoch"]
        for _ in range(20):
            event = response.event()
            assert event is not None
            mirror.apply(json.loads(event["data"]))
            assert event["id"] == f"{epoch}:{mirror.seq}"
    with opened(server, "?mode=every", Last_Event_ID=f"{epoch}:{mirror.seq}", **events) as response:
        response.event()
        event = response.event()
        assert event is not None
        assert json.loads(event["data"])["resumed"] is True
        for _ in range(20):
            event = response.event()
            assert event is not None
            mirror.apply(json.loads(event["data"]))
    seqs = [frame["seq"] for frame in mirror.frames if frame["data"]]
    assert len(seqs) == len(set(seqs))
    with opened(server, "?mode=every", Last_Event_ID="nonsense", **events) as response:
        response.event()
        event = response.event()
        assert event is not None
        assert json.loads(event["data"])["resumed"] is False


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("TEXT/Event-Stream, */*;q=0.1", True),
        ("text/event-stream;q=0, application/x-ndjson", False),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;charset=utf-8;q=0.9, */*;q=0.1", True),
        ("application/x-ndjson;q=0.5, text/event-stream", True),
        ("application/x-ndjson, text/event-stream;q=0.5", False),
        ("*/*;q=0.8, text/event-stream;q=0.5", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
    ],
)
def test_events_are_for_those_who_ask_for_them(
    server: Server, accept: str, *, events: bool
) -> None:
    with opened(server, Accept=accept) as response:
        expected = "text/event-stream" if events else "application/x-ndjson"
        assert response.headers["content-type"] == expected
        data = response.read()
        assert data.startswith(b"data: " if events else b'{"type":"welcome"')


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {"Authorization": ""}, 401),
        ("", {"Authorization": "Bearer nonsense"}, 401),
        ("?symbols=DOGE-USD", {}, 400),
        ("?mode=all", {}, 400),
        ("?x-auth-token=t", {"Authorization": ""}, 401),
    ],
    ids=["no token", "a bad token", "an unknown symbol", "a bad mode", "a token in the query"],
)
def test_what_is_refused_is_refused_as_elsewhere(
    server: Server, query: str, headers: dict[str, str], status: int
) -> None:
    with opened(server, query, **headers) as response:
        assert response.status == status


def test_the_token_may_come_in_query_or_cookie_where_that_is_on(tmp_path: Path) -> None:
    env = {"TICKER_TOKEN_FROM": "header,subprotocol,query,cookie", "TICKER_LOG_FORMAT": "json"}
    with started("serve", tmp_path / "data", env=env) as server:
        token = server.token()
        ways: list[tuple[str, dict[str, str], int]] = [
            (f"?x-auth-token={token}&mode=changes", {"Authorization": ""}, 200),
            (f"?mode=changes&x%2Dauth-token={token}", {"Authorization": ""}, 200),
            ("", {"Authorization": "", "Cookie": f"a=b; x-auth-token={token}; c=d"}, 200),
            (f"?x-auth-token={token}", {}, 400),
            (
                f"?x-auth-token={token}",
                {"Authorization": "", "Cookie": f"x-auth-token={token}"},
                400,
            ),
            (f"?x-auth-token={token}%0d%0aX-Y:z", {"Authorization": ""}, 401),
            ("?x-auth-token=", {"Authorization": ""}, 401),
            ("", {"Authorization": ""}, 401),
        ]
        for query, headers, status in ways:
            with opened(server, query, **headers) as response:
                assert response.status == status, (query.replace(token, "TOKEN"), headers.keys())
                if status == 200:
                    response.line()
                    answer = response.line()
                    assert answer["mode"] == ("changes" if "mode" in query else "latest")
        server.stop()
        assert token not in server.output


def test_a_head_request_opens_no_stream(server: Server) -> None:
    with opened(server, method="HEAD", Connection="close") as response:
        assert response.status == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        assert "content-length" not in response.headers
    server.wait_metric("ticker_streams_open", 0)


def test_streams_are_counted_and_limited_and_end_with_their_token(tmp_path: Path) -> None:
    env = {"TICKER_MAX_STREAMS_PER_TOKEN": "2"}
    with started("serve", tmp_path / "data", env=env) as server:
        with opened(server) as one, opened(server) as two, opened(server) as three:
            assert (one.status, two.status, three.status) == (200, 200, 429)
            assert one.line()["type"] == two.line()["type"] == "welcome"
            server.wait_metric("ticker_streams_open", 2)
            revoked = ticker(server.data_dir, "keys", "revoke", key_id(server.api_key))
            assert revoked.returncode == 0
            for response in (one, two):
                while (message := response.line())["type"] != "closing":
                    pass
                assert message["code"] == 4001
                assert response.until(b"\n") is None
        server.wait_metric("ticker_streams_open", 0)
        server.wait_metric('ticker_streams_closed_total{code="4001"}', 2)


def test_a_drain_says_when_to_come_back_and_ends_the_response(tmp_path: Path) -> None:
    with started("serve", tmp_path / "data") as server:
        with opened(server, Accept="text/event-stream") as events, opened(server) as lines:
            events.event()
            lines.line()
            server.send_signal(signal.SIGTERM)
            while (event := events.event()) and json.loads(event["data"])["type"] != "closing":
                pass
            assert event is not None
            closing = json.loads(event["data"])
            assert closing["code"] == 1012
            assert int(event["retry"]) == closing["retry_after_ms"]
            assert events.until(b"\n\n") is None
            while (message := lines.line())["type"] != "closing":
                pass
            assert message["code"] == 1012
            assert lines.until(b"\n") is None
        assert server.wait() == 0


def test_a_reader_that_stalls_is_cut_off(server: Server) -> None:
    with opened(server) as response:
        response.line()
        server.wait_metric("ticker_streams_open", 1)
        # Nothing is read any more: the kernel's buffers fill, then five seconds pass.
        wait_until(
            lambda: server.metrics().get("ticker_streams_open", 0.0) == 0.0,
            "the stalled stream to end",
            seconds=90,
        )
