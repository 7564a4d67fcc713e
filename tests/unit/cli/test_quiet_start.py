"""A worker that replaces another loads its modules at a low priority; any other does not."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from ticker import limits
from ticker.cli import main, quiet_start
from ticker.server.handover import Handover
from ticker.web import loading


def niceness() -> int:
    """Return that of the calling thread."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the niceness of each thread that loaded the modules."""
    name = "module_that_a_worker_needs"
    found: list[int] = []
    (tmp_path / f"{name}.py").write_text(f"from {__name__} import noted\nnoted()\n")
    module = type(sys)(__name__)
    module.noted = lambda: found.append(niceness())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, __name__, module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(quiet_start, "_MODULES", (name,))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return found


@pytest.mark.parametrize("replaces", [False, True])
def test_only_a_worker_that_replaces_another_loads_everything_first_at_a_low_priority(
    loaded: list[int], monkeypatch: pytest.MonkeyPatch, *, replaces: bool
) -> None:
    before = niceness()
    handover = Handover(1, 3, 4, 5, replaces)
    assert Handover.of(handover.environment()) == handover
    for name, value in handover.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert loaded == ([min(19, before + limits.LOADING_NICENESS)] if replaces else [])
    assert niceness() == before


def test_what_is_put_off_elsewhere_is_loaded_first_here() -> None:
    source = Path(loading.__file__).read_text()
    late = {line.split()[1] for line in source.splitlines() if "PLC0415" in line}
    assert late
    assert late <= {*quiet_start._MODULES}
