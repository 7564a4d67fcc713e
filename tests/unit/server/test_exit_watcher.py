"""What the watcher of a worker does where the system offers it less."""

from __future__ import annotations

import os

import pytest

from ticker.server.exit_watcher import _Command


def test_a_sandbox_that_refuses_descriptors_of_processes_stops_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_pid: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    gone = os.posix_spawnp("true", ["true"], {**os.environ})
    os.waitpid(gone, 0)
    _Command(gone).fail()  # by its number; it has gone, which is fine
