"""An event is one line, and logging it never fails, whatever its fields are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_PROGRAM = """
import structlog
from ticker import logs, standard_streams
standard_streams.take()
logs.configure("json")
log = structlog.get_logger()
{}
"""


def run(program: str) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """Run some lines in a process of their own; return what it logged."""
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    return lines, ended


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    lines, _ = run('for number in range(2000): log.info("stream_opened", number=number)')
    assert [line["number"] for line in lines] == list(range(2000))


def test_a_field_that_cannot_be_shown_costs_the_line_and_nothing_else() -> None:
    program = """
class Odd:
    def __repr__(self): raise RuntimeError("no")
log.info("odd", value=Odd())
log.info("half", text="\\udcff", key={(1, 2): 3})
print("dropped", standard_streams.dropped())
"""
    lines, ended = run(program)
    assert [line["event"] for line in lines] == ["half", "log_lines_dropped"]
    assert lines[1]["count"] == 1
    assert ended.stdout == "dropped 1\n"


def test_a_flood_of_refusals_ends_as_one_summary() -> None:
    lines, _ = run(
        'for _ in range(1000): log.info("handshake_refused", reason="origin", address="192.0.2.1")'
    )
    assert [line["event"] for line in lines[:-1]] == ["handshake_refused"] * 20
    assert lines[-1]["event"] == "events_left_out"
    assert lines[-1]["address"] == "192.0.2.1"
    assert lines[-1]["counts"] == {"handshake_refused": {"origin": 980}}


def test_what_a_library_logs_again_and_again_is_summed_up_too() -> None:
    lines, _ = run("""
import logging
logger = logs.adopt_libraries("json")
for number in range(1000): logger.warning("fault %d", number)
""")
    assert len(lines) == 21
    assert lines[-1]["counts"] == {"hypercorn.error WARNING": {"": 980}}


def test_a_traceback_of_the_interpreter_itself_is_written() -> None:
    _, ended = run('log.info("first"); raise SystemError("boom")')
    assert ended.returncode == 1
    assert ended.stderr.index("first") < ended.stderr.index("SystemError: boom")
