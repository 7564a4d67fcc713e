"""RFC 6455 as Autobahn understands it: the stream, and an echo behind the same router."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.autobahn.suite import Case, installed, python27, run

pytestmark = pytest.mark.slow

#: Compression: thousands of messages of all sizes, by whatever is negotiated.
COMPRESSION = ("12.*", "13.*")
#: The cases of offers that are declined, so that nothing is compressed: all that they offer wants a
#: window below the largest of the server, whose frames are made once for all.
DECLINED = ("13.3.", "13.5.")
#: What the stream ends differently, on purpose, by case or section; see docs/reliability.md.
EXPLAINED: Mapping[str, str] = {}


@pytest.fixture(scope="module")
def autobahn(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Mapping[str, str]]:
    """Python 2.7 and the environment in which it finds the suite."""
    python = python27()
    if python is None:
        pytest.skip(
            "Autobahn runs on Python 2.7 only, and there is none: "
            "install one, or name one in PYTHON27"
        )
    return python, installed(python, tmp_path_factory.mktemp("autobahn"))


@contextmanager
def _endpoint(folder: Path, *options: str) -> Iterator[str]:
    """Serve an endpoint; gives its address."""
    command = [sys.executable, "-m", "tests.autobahn.endpoints", str(folder / "data"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()  # a test's helper, which has nothing to wind up


def _summary(cases: list[Case]) -> str:
    counts = Counter((case.behavior, case.behavior_close) for case in cases)
    return f"\n{len(cases)} cases: {dict(counts)}"


def test_the_echo_passes_every_case(
    autobahn: tuple[str, Mapping[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _endpoint(tmp_path, "--echo") as url:
        cases = run(*autobahn, tmp_path, url, ["*"], COMPRESSION)
    loose = sorted(case.name for case in cases if case.behavior != "OK")
    with capsys.disabled():
        print(_summary(cases), f"not OK to the letter: {loose}")  # noqa: T201 - the result
    assert len(cases) > 250
    assert [case for case in cases if not case.passed] == []


def test_the_echo_passes_every_case_of_compression(
    autobahn: tuple[str, Mapping[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _endpoint(tmp_path, "--echo") as url:
        cases = run(*autobahn, tmp_path, url, COMPRESSION)
    with capsys.disabled():
        print(_summary(cases))  # noqa: T201 - the result
    assert len(cases) > 200
    declined = [case.name for case in cases if case.behavior == "UNIMPLEMENTED"]
    assert [name for name in declined if not name.startswith(DECLINED)] == []
    assert [case for case in cases if not case.passed and case.name not in declined] == []


def test_the_stream_passes_every_case_that_needs_no_echo(
    autobahn: tuple[str, Mapping[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _endpoint(tmp_path) as url:
        cases = run(*autobahn, tmp_path, url, ["*"], ["9.*", "10.*", *COMPRESSION])
    asked = [case for case in cases if not case.needs_echo]
    failed = [case for case in asked if not case.passed_but_for_messages]
    with capsys.disabled():
        print(_summary(asked), f"failed: {[case.name for case in failed]}")  # noqa: T201 - the result
    assert len(asked) > 100
    assert [case for case in failed if case.name not in EXPLAINED] == []
