"""Lines are written in order, or dropped and counted; no task that writes one waits or fails."""

from __future__ import annotations

import array
import errno
import fcntl
import gc
import os
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.waiting import wait_until
from ticker import limits
from ticker.log_writer import LogWriter, LossyStream


@contextmanager
def piped() -> Iterator[tuple[int, int]]:
    """A pipe, whose ends a test may close."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            try:
                os.close(end)
            except OSError as error:
                assert error.errno == errno.EBADF  # noqa: PT017 - closed by the test


def reported(count: int) -> str:
    return f"dropped {count}\n"


def read_until(descriptor: int, text: bytes) -> bytes:
    data = b""
    while text not in data:
        data += os.read(descriptor, 65_536)
    return data


def in_a_second() -> float:
    return time.monotonic() + 1


def test_lines_come_out_in_their_order() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)
        lines = [f"line {number}\n" for number in range(1000)]
        for line in lines:
            writer.put(line)
        assert read_until(reader, b"line 999\n") == "".join(lines).encode()
        assert writer.dropped == 0


def test_a_pipe_that_has_room_takes_a_line_at_once() -> None:
    with piped() as (reader, end):
        os.set_blocking(reader, False)
        LogWriter(end).put("now\n")
        assert os.read(reader, 100) == b"now\n"


def test_an_ending_process_waits_for_its_last_lines() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)
        writer.put("last\n")
        writer.drain(in_a_second())
        os.set_blocking(reader, False)
        assert os.read(reader, 100) == b"last\n"


def test_without_a_descriptor_every_line_is_dropped() -> None:
    writer = LogWriter(None)
    writer.put("a\n")
    writer.put("b\n")
    writer.drain(in_a_second())
    assert writer.dropped == 2


def test_where_the_reader_is_gone_lines_are_dropped_and_counted() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)
        os.close(reader)
        for _ in range(3):
            writer.put("a\n")
        wait_until(lambda: writer.dropped == 3, "three drops")


def test_on_a_full_disk_lines_are_dropped_and_counted() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = LogWriter(full)
        for _ in range(3):
            writer.put("a\n")
        wait_until(lambda: writer.dropped == 3, "three drops")
    finally:
        os.close(full)


def test_a_pipe_that_is_not_read_holds_up_neither_those_who_write_nor_the_end() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)
        writer.report = reported
        line = "x" * 1023 + "\n"
        began = time.monotonic()
        count = 0
        while not writer.dropped:
            writer.put(line)
            count += 1
        writer.drain(time.monotonic() + 0.2)
        # The second drain knows that nothing reads.
        writer.drain(in_a_second())
        assert time.monotonic() - began < 5
        assert count * len(line) < limits.LOG_QUEUE_BYTES + 2 * limits.LOG_WRITE_BYTES + 131_072
        dropped = writer.dropped
        data = read_until(reader, b"dropped")
        # Those that were dropped came after those that waited.
        assert data.endswith(b"dropped %d\n" % dropped)
        assert data.count(line.encode()) == count - dropped


def test_drops_are_reported_once_writing_works_again() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with piped() as (reader, end):
        try:
            writer = LogWriter(full)
            writer.report = reported
            writer.put("lost\n")
            wait_until(lambda: writer.dropped, "a drop")
            os.dup2(end, full)
            # Without another line: the thread looks by itself.
            assert read_until(reader, b"\n") == b"dropped 1\n"
            writer.put("kept\n")
            assert read_until(reader, b"kept\n") == b"kept\n"
        finally:
            os.close(full)


def test_half_a_line_does_not_run_into_the_next_one() -> None:
    with piped() as (reader, end):
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(end, False)
        writer = LogWriter(end)
        writer.put("a" * 5000 + "\n")
        # The descriptor is the test's: it goes on to something else in the middle of the line.
        wait_until(lambda: _size(reader) == 4096, "a full pipe")
        full = os.open("/dev/full", os.O_WRONLY)
        kept = os.dup(end)
        os.dup2(full, end)
        assert len(os.read(reader, 4096)) == 4096
        wait_until(lambda: writer.dropped == 1, "the drop")
        os.dup2(kept, end)
        writer.put("b\n")
        assert read_until(reader, b"b\n") == b"\nb\n"
        os.close(full)
        os.close(kept)


def _size(descriptor: int) -> int:
    found = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, found)
    return found[0]


def test_a_descriptor_that_was_made_non_blocking_loses_nothing() -> None:
    with piped() as (reader, end):
        os.set_blocking(end, False)
        writer = LogWriter(end)
        for number in range(5000):
            writer.put(f"{number:063}\n")
        data = b""
        while data.count(b"\n") < 5000:
            data += os.read(reader, 4096)
        assert data.endswith(b"4999\n")
        assert writer.dropped == 0


def test_a_finalizer_that_logs_while_a_line_is_logged_does_no_harm() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)

        class Chatty:
            def __init__(self) -> None:
                self.itself = self

            def __del__(self) -> None:
                writer.put("finalizer\n")

        with writer._lock:
            Chatty()
            gc.collect()
        assert read_until(reader, b"\n") == b"finalizer\n"


def test_a_forked_child_writes_lines_of_its_own() -> None:
    with piped() as (reader, end):
        writer = LogWriter(end)
        writer.put("parent\n")
        assert read_until(reader, b"parent\n") == b"parent\n"
        pid = os.fork()
        if not pid:
            writer.put("child\n")
            writer.drain(in_a_second())
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reader, 100) == b"child\n"


def test_a_stream_takes_what_print_does_and_refuses_bytes() -> None:
    with piped() as (reader, end):
        stream = LossyStream(LogWriter(end), end)
        print("one", 2, file=stream)
        print("\udcff", file=stream, flush=True)
        assert read_until(reader, b"udcff\n") == b"one 2\n\\udcff\n"
        assert not stream.isatty()
        assert stream.fileno() == end
        with pytest.raises(TypeError):
            stream.write(b"bytes")  # type: ignore[arg-type]  # the point
