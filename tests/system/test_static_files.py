"""The page's files, whole, in part, or not again; and HEAD, which never has a body."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.raw import connect
from tests.support.server import Server
from ticker.web.pages import static_directory
from ticker.web.static_files import StaticFiles

SCRIPT = "/main.js"


@pytest.fixture(scope="module")
def content() -> bytes:
    return (static_directory() / "main.js").read_bytes()


def fetched(server: Server, **headers: str) -> httpx.Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(server.url + SCRIPT, headers={"Accept-Encoding": "identity", **fields})


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        *[("0-0", 0, 1), ("2-5", 2, 6), ("10-", 10, None), ("-5", -5, None)],
        *[("0-999999999", 0, None), ("3-" + "9" * 19, 3, None), ("0" * 30 + "4-5", 4, 6)],
    ],
)
def test_one_range_is_answered_with_that_part(
    server: Server, content: bytes, asked: str, start: int, end: int | None
) -> None:
    response = fetched(server, Range=f"bytes={asked}")
    assert response.status_code == 206
    assert response.content == content[start:end]
    first = start % len(content)
    told = f"bytes {first}-{first + len(response.content) - 1}/{len(content)}"
    assert response.headers["content-range"] == told
    assert response.headers["content-length"] == str(len(response.content))


def test_a_suffix_longer_than_the_file_is_the_whole_file(server: Server, content: bytes) -> None:
    for suffix in ("99999999", "9" * 19, "9" * 6000):
        response = fetched(server, Range=f"bytes=-{suffix}")
        assert (response.status_code, response.content) == (206, content)


@pytest.mark.parametrize(
    "asked",
    ["99999999-", "99999999-99999999", "-0", f"{10**17}-", "9" * 19 + "-", "9" * 6000 + "-"],
    ids=lambda asked: f"{asked[:12]} of {len(asked)}",
)
def test_a_range_beyond_the_end_is_416_and_says_where_that_is(
    server: Server, content: bytes, asked: str
) -> None:
    response = fetched(server, Range=f"bytes={asked}")
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(content)}"
    assert response.json() == {"error": "the range begins beyond the end of the file"}


@pytest.mark.parametrize(("name", "status"), [(b"If-Match", 200), (b"If-None-Match", 304)])
def test_tags_in_several_lines_are_one_list(server: Server, name: bytes, status: int) -> None:
    etag = fetched(server).headers["etag"].encode()
    response = httpx.get(server.url + SCRIPT, headers=[(name, b'"x"'), (name, etag)])
    assert response.status_code == status


LONG_AGO, FAR_AHEAD = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


def test_a_version_that_is_not_there_any_more_is_told_so(server: Server, content: bytes) -> None:
    etag = fetched(server).headers["etag"]
    for conditions in (
        {"If_Match": '"x"'},
        {"If_Match": f"W/{etag}"},
        {"If_Match": '"x"', "If_Unmodified_Since": FAR_AHEAD},
        {"If_Match": '"x"', "If_None_Match": etag},
        {"If_Unmodified_Since": LONG_AGO},
    ):
        for more in ({}, {"Range": "bytes=-5"}):
            response = fetched(server, **conditions, **more)
            assert response.status_code == 412, conditions
            assert response.json() == {"error": "the file is not the one that was asked for"}
    for conditions in (
        {"If_Match": etag},
        {"If_Match": "*"},
        {"If_Match": f'"x", {etag}', "If_Unmodified_Since": LONG_AGO},
        {"If_Unmodified_Since": FAR_AHEAD},
        {"If_Unmodified_Since": "yesterday"},
    ):
        response = fetched(server, **conditions, Range="bytes=-5")
        assert (response.status_code, response.content) == (206, content[-5:]), conditions


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,3-4",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        "x",
        "bytes=\u0661-\u0662",
        "bytes=--5",
        "bytes=1",
        "bytes=0-1;q=1",
    ],
    ids=str,
)
def test_several_ranges_or_junk_ask_for_the_whole_file(
    server: Server, content: bytes, asked: str
) -> None:
    response = httpx.get(server.url + SCRIPT, headers=[(b"Range", asked.encode())])
    assert (response.status_code, response.content) == (200, content)


def test_a_part_of_another_version_is_not_given(server: Server, content: bytes) -> None:
    etag = fetched(server).headers["etag"]
    assert fetched(server, Range="bytes=0-3", If_Range=etag).status_code == 206
    response = fetched(server, Range="bytes=0-3", If_Range='"another"')
    assert (response.status_code, response.content) == (200, content)


def test_what_a_client_has_already_is_not_sent_again(server: Server) -> None:
    first = fetched(server)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    with httpx.Client(base_url=server.url) as client:
        for headers in (
            {"If-None-Match": etag},
            {"If-None-Match": f'"x", W/{etag}'},
            {"If-None-Match": "*"},
            {"If-Modified-Since": modified},
        ):
            response = client.get(SCRIPT, headers=headers)
            assert (response.status_code, response.content) == (304, b"")
            assert response.headers["etag"] == etag
            # The connection goes on.
            assert client.get("/style.css").status_code == 200
    assert fetched(server, If_None_Match='"x"', If_Modified_Since=modified).status_code == 200
    assert fetched(server, If_Modified_Since="never").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/..%2fpyproject.toml",
        "/a/../../x.py",
        "/a\0.js",
        "//etc/passwd.txt",
        "/%00.js",
        f"/{'a' * 5000}.js",
    ],
    ids=lambda path: path[:30].replace("\0", "NUL"),
)
async def test_what_is_no_file_of_the_page_is_404(server: Server, path: str) -> None:
    async with await connect(server) as stream:
        target = path.replace("\0", "%00")
        await stream.send_all(
            f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while data := await stream.receive_some(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 404"), answer[:200]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        SCRIPT,
        "/no-such.file",
        "/healthz",
        "/readyz",
        "/metrics",
        "/prices",
        "/prices/BTC-USD",
        "/auth/token",
        "/ws/ticker",
        "/prices/BTC-USD/history",
    ],
)
async def test_head_has_the_headers_of_get_and_no_body(server: Server, path: str) -> None:
    """On one connection, where a body would be taken for the next response."""
    bearer = f"Authorization: Bearer {server.token()}\r\n"
    answers: dict[str, bytes] = {}
    for method in ("HEAD", "GET"):
        async with await connect(server) as stream:
            head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{bearer}Connection: close\r\n\r\n"
            await stream.send_all(head.encode())
            answer = b""
            while data := await stream.receive_some(65536):
                answer += data
            answers[method] = answer
    head_lines, _, body = answers["HEAD"].partition(b"\r\n\r\n")
    assert body == b""
    get_lines = answers["GET"].partition(b"\r\n\r\n")[0]
    if path not in {"/ws/ticker", "/auth/token"}:
        assert head_lines.splitlines()[0] == get_lines.splitlines()[0]
    assert _names(head_lines) >= {b"content-type", b"content-length"}


def _names(head: bytes) -> set[bytes]:
    return {line.partition(b":")[0].lower() for line in head.splitlines()[1:]}


def test_a_file_that_changes_is_served_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    files = StaticFiles(tmp_path)
    first = files.find("a.js")
    assert first is not None
    assert files.find("a.js") is first
    (tmp_path / "a.js").write_text("22")
    second = files.find("a.js")
    assert second is not None
    assert (second.content, second.etag != first.etag) == (b"22", True)
    (tmp_path / "a.js").unlink()
    assert files.find("a.js") is None
