"""The capture format: whole lines, rotation, and files that were cut off."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ticker.market.sources.recorder import CaptureError, CaptureWriter
from ticker.market.sources.replay import parse_line

NOW_MS = 1_618_677_817_061
TICKER = '{"type":"ticker","product_id":"BTC-USD","price":"42000.10"}'


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_message_becomes_a_line_that_the_replay_reads(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with CaptureWriter(path) as writer:
        writer.write(TICKER, NOW_MS)
        writer.write(TICKER.encode(), NOW_MS + 1000)
    first, second = lines(path)
    received, [price] = parse_line(first)
    assert (received, price.symbol, str(price.price)) == (1618677817.061, "BTC-USD", "42000.10")
    assert parse_line(second)[0] == 1618677818.061
    assert writer.written == 2


def test_a_message_is_recorded_as_it_came_but_for_white_space(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with CaptureWriter(path) as writer:
        writer.write('{ "type" : "x",\n "n": 1.5000, "s":"a b\\n" }', NOW_MS)
    assert lines(path) == [
        b'{"received":1618677817.061,"message":{"type":"x","n":1.5000,"s":"a b\\n"}}\n'
    ]


@pytest.mark.parametrize(
    "message", ["{", b"\xff", "", '{"a":1}{', "[" * 100_000, '"' + "x" * 2_000_000 + '"']
)
def test_what_cannot_be_a_line_is_counted_and_left_out(
    tmp_path: Path, message: str | bytes
) -> None:
    path = tmp_path / "capture"
    with CaptureWriter(path) as writer:
        writer.write(message, NOW_MS)
        writer.write(TICKER, NOW_MS)
    assert (writer.written, writer.skipped) == (1, 1)
    assert len(lines(path)) == 1


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    line = len(f'{{"received":1618677817.061,"message":{TICKER}}}\n')
    with CaptureWriter(path, file_bytes=2 * line, files=2) as writer:
        for second in range(9):
            writer.write(TICKER, NOW_MS + second * 1000)
    received = {
        file.name: [round(parse_line(line)[0] - NOW_MS / 1000) for line in lines(file)]
        for file in tmp_path.iterdir()
    }
    assert received == {"capture": [8], "capture.1": [6, 7], "capture.2": [4, 5]}


def test_a_recording_goes_on_where_the_last_one_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with CaptureWriter(path) as writer:
        writer.write(TICKER, NOW_MS)
    with path.open("ab") as file:
        file.write(b'{"received":1618677817.5,"mess')
    with CaptureWriter(path) as writer:
        writer.write(TICKER, NOW_MS)
    whole, torn, new = lines(path)
    assert whole == new
    assert torn == b'{"received":1618677817.5,"mess\n'


def test_a_file_that_is_no_capture_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ticker.toml"
    path.write_text("[ticker]\n")
    with pytest.raises(CaptureError, match="exists and is no capture"), CaptureWriter(path):
        pass
    assert path.read_text() == "[ticker]\n"


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is not a regular file"), CaptureWriter(tmp_path):
        pass
    absent = tmp_path / "absent" / "capture"
    with pytest.raises(CaptureError, match="No such file or directory"), CaptureWriter(absent):
        pass


def test_a_full_disk_is_one_clear_line_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with CaptureWriter(path) as writer:
        writer.write(TICKER, NOW_MS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
        try:
            with pytest.raises(CaptureError, match="File too large"):
                writer.write(TICKER, NOW_MS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
    assert len(lines(path)) == 1


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from ticker.market.sources.recorder import CaptureWriter
with CaptureWriter(Path(sys.argv[1])) as writer:
    for second in range(10**9):
        writer.write('{"type":"ticker","product_id":"BTC-USD","price":"1"}', second * 1000)
        if second == 100:
            print(flush=True)
"""


def test_a_recorder_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE
    ) as recorder:
        assert recorder.stdout is not None
        recorder.stdout.readline()
        recorder.kill()
    recorded = lines(path)
    assert len(recorded) > 100
    for second, line in enumerate(recorded):
        assert msgspec.json.decode(line)["received"] == second
