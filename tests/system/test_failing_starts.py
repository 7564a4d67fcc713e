"""A start that fails says clearly why, under both launches, and a failure ends the process."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.support.raw import opened
from tests.support.sabotage import APPLICATION, ENVIRONMENT, SERVE, break_part
from tests.support.server import LAUNCHES, Launch, Server, command_of, started

#: How each launch ends where it failed. Hypercorn 0.18 asks its workers for their exit codes a
#: second time when none is left (`hypercorn/run.py`, `_join_exited`), so its command would end with
#: 0; the worker ends it by a signal instead.
FAILURES: Final = [("serve", 1), ("hypercorn", -signal.SIGUSR1)]


def one_line(server: Server, *texts: str) -> None:
    """Check that what a start printed last is one clear line with these texts, no traceback."""
    assert "Traceback" not in server.output, server.output
    faults = [line for line in server.lines if line.startswith("ticker: ")]
    assert len(faults) == len(texts), server.output
    for text in texts:
        assert any(text in fault for fault in faults), server.output


@pytest.mark.parametrize(
    ("env", "args", "texts"),
    [
        ({}, ["--tick", "soon"], ["tick='soon': expected a length of time"]),
        ({}, ["--tick", "1us"], ["expected a length of time"]),
        ({}, ["--port", "99999"], ["expected a port"]),
        ({"TICKER_AUTH_RATE": "x", "TICKER_TICK": "y"}, [], ["TICKER_AUTH_RATE", "TICKER_TICK"]),
        ({}, ["--config", "absent.toml"], ["absent.toml: no such settings file"]),
        ({}, ["--source", "tea-leaves"], ["no source is called 'tea-leaves'"]),
        ({}, ["--source", "replay:absent.jsonl"], ["absent.jsonl"]),
        ({"TICKER_DATABASE_URL": "mysql://u:s3cret@h/x"}, [], ["TICKER_DATABASE_URL"]),
        ({"TICKER_TOKEN_KEY": "s3cret,b,c,d,e,f,g,h,i"}, [], ["expected at most 8 keys"]),
        ({}, ["--host", "::"], ["can be reached from other machines"]),
        ({}, ["--frobnicate"], ["No such option"]),
        ({}, ["surplus"], ["unexpected extra argument"]),
    ],
)
def test_wrong_settings_and_usage_end_with_2_and_one_line_each(
    tmp_path: Path, env: dict[str, str], args: list[str], texts: list[str]
) -> None:
    with started("serve", tmp_path / "data", args=args, env=env, listen=False) as server:
        assert server.wait(20) == 2, server.output
    one_line(server, *texts)
    assert "s3cret" not in server.output


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("start.lock", []),
        ("start.lock", ["--workers", "2"]),
        ("limits.table", ["--workers", "2"]),
        ("feeder.lock", ["--workers", "2"]),
        ("demo-api-key", []),
    ],
)
def test_a_link_in_the_place_of_a_file_ends_the_start_before_anything_is_served(
    tmp_path: Path, name: str, args: list[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    (data / name).symlink_to("nowhere")
    with started("serve", data, args=args, listen=False) as server:
        assert server.wait(20) == 1, server.output
    one_line(server, "symbolic link")
    assert "worker_ended" not in server.output


def test_wrong_settings_end_hypercorn_with_one_line_each(tmp_path: Path) -> None:
    env = {"TICKER_TICK": "soon", "TICKER_AUTH_RATE": "x"}
    with started("hypercorn", tmp_path / "data", env=env, listen=False) as server:
        server.wait(20)
    one_line(server, "TICKER_TICK", "TICKER_AUTH_RATE")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use_ends_with_1_and_one_line(tmp_path: Path, taken_port: int) -> None:
    args = ["--port", str(taken_port)]
    with started("serve", tmp_path / "data", args=args, listen=False) as server:
        assert server.wait(20) == 1, server.output
    one_line(server, f"cannot listen on 127.0.0.1:{taken_port}")


@pytest.mark.parametrize("launch", LAUNCHES)
def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path, launch: Launch) -> None:
    with started("serve", tmp_path / "data") as first:
        with started(launch, tmp_path / "data", listen=False) as second:
            second.wait(20)
        assert "another Ticker serves from" in second.output
        assert "TICKER_DATA_DIR" in second.output
        assert first.request("GET", "/readyz")[0] == 200
    if launch == "serve":
        one_line(second, "another Ticker serves from")


@pytest.mark.parametrize(("launch", "code"), FAILURES)
def test_a_refused_start_is_a_failure_of_the_process(
    tmp_path: Path, launch: Launch, code: int
) -> None:
    with (
        started("serve", tmp_path / "data"),
        started(launch, tmp_path / "data", listen=False) as second,
    ):
        assert second.wait(20) == code
    assert "Traceback" not in "".join(second.lines)


@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_data_directory_is_free_again_after_a_kill(tmp_path: Path, launch: Launch) -> None:
    with started("serve", tmp_path / "data") as first:
        token = first.token()
        first.process.kill()
        first.wait()
    with started(launch, tmp_path / "data") as second:
        bearer = {"Authorization": f"Bearer {token}"}
        assert second.request("GET", "/prices", headers=bearer)[0] == 200


@pytest.mark.parametrize(("launch", "code"), FAILURES)
async def test_the_engines_failure_is_a_failure_of_the_process(
    tmp_path: Path, launch: Launch, code: int
) -> None:
    assert await fail_engine(tmp_path, launch) == code


async def fail_engine(tmp_path: Path, launch: Launch) -> int:
    """Let the engine of a new server fail, and return the exit code."""
    command = SERVE
    if launch == "hypercorn":
        command = [*command_of("hypercorn")[:-1], APPLICATION]
    with started(launch, tmp_path / "data", env=ENVIRONMENT, command=command) as server:
        async with opened(server) as stream:
            await stream.until("ticker")
            break_part(server, "engine")
            code = await server.wait_async(10)
    assert len(server.events("engine_failed")) == 1
    return code


@pytest.mark.parametrize("launch", LAUNCHES)
def test_with_too_few_descriptors_it_refuses_to_start_in_one_line(
    tmp_path: Path, launch: Launch
) -> None:
    few = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *command_of(launch)]
    with started(launch, tmp_path / "data", command=few, listen=False) as server:
        assert server.wait(60) != 0
    assert "at most 40 files may be open (`ulimit -n`): 64 are needed" in server.output
    assert "Traceback" not in server.output
    assert not server.events("engine_failed")
