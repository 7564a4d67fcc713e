"""Running Autobahn's fuzzing client, which needs Python 2.7, and judging what it reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

#: The release that the results in docs/reliability.md are of.
RELEASE: Final = "autobahntestsuite==25.10.1"
#: What counts as passed: NON-STRICT and INFORMATIONAL are explained in docs/reliability.md.
PASSED: Final = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})


def python27() -> str | None:
    """Find a Python 2.7 that runs: `PYTHON27`, the path, or pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        os.environ.get("PYTHON27"),
        shutil.which("python2.7"),
        *map(str, sorted(root.glob("versions/2.7.*/bin/python2.7"))),
    ]
    return next((python for python in candidates if python and _runs(python)), None)


def _runs(python: str) -> bool:
    # A shim of pyenv is there also where no version is chosen.
    try:
        answer = subprocess.run([python, "--version"], capture_output=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0


def installed(python: str, folder: Path) -> Mapping[str, str]:
    """Install the suite into a folder of its own; return the environment that finds it there."""
    environment = {**os.environ, "PYTHONUSERBASE": str(folder)}
    environment.pop("PYTHONPATH", None)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-warn-script-location")
    subprocess.run(
        [python, "-m", "pip", "install", "--user", *quiet, RELEASE], env=environment, check=True
    )
    return environment


@attrs.frozen
class Case:
    """What one case came to.

    Attributes:
        name: as in `7.1.5`.
        behavior: Autobahn's verdict on what was received.
        behavior_close: and on how the connection ended.
        expected: what may be received, by verdict.
        received: what was.
    """

    name: str
    behavior: str
    behavior_close: str
    expected: Mapping[str, Sequence[Sequence[Any]]]
    received: Sequence[Sequence[Any]]

    @property
    def passed(self) -> bool:
        """Whether Autobahn let it pass."""
        return self.behavior in PASSED and self.behavior_close in PASSED

    @property
    def passed_but_for_messages(self) -> bool:
        """Whether everything but messages was as expected.

        The stream sends prices by itself and never an echo; control frames and the end of the
        connection are the same for both.
        """
        controls = [list(event) for event in self.received if event[0] != "message"]
        good = [
            [list(event) for event in events if event[0] != "message"]
            for events in self.expected.values()
        ]
        return controls in good and self.behavior_close in PASSED

    @property
    def needs_echo(self) -> bool:
        """Whether a message must come back in every outcome that Autobahn would accept."""
        return all(
            any(event[0] == "message" for event in events) for events in self.expected.values()
        )


def run(
    python: str,
    environment: Mapping[str, str],
    folder: Path,
    url: str,
    cases: Sequence[str],
    excluded: Sequence[str] = (),
) -> list[Case]:
    """Let the fuzzing client try cases on an endpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    reports = folder / "reports"
    spec = {
        "options": {"failByDrop": False},
        "outdir": str(reports),
        "servers": [{"agent": "ticker", "url": url}],
        "cases": list(cases),
        "exclude-cases": list(excluded),
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    wstest = Path(environment["PYTHONUSERBASE"]) / "bin" / "wstest"
    command = [python, str(wstest), "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
    with (folder / "wstest.log").open("w") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)
    index = json.loads((reports / "index.json").read_text())["ticker"]
    return [_case(name, entry, reports) for name, entry in index.items()]


def _case(name: str, entry: Mapping[str, str], reports: Path) -> Case:
    report = json.loads((reports / entry["reportfile"]).read_text())
    return Case(
        name, entry["behavior"], entry["behaviorClose"], report["expected"], report["received"]
    )
