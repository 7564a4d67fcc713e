"""The example of a source of one's own: short, runnable, and found by its entry point."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
EXAMPLE = REPOSITORY / "examples" / "own_source.py"


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_example_is_shorter_than_forty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 40


def test_the_example_prints_what_it_yields() -> None:
    shown = run(str(EXAMPLE))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.fullmatch(r"(TIDE-USD \d+\.\d\d\n){5}", shown.stdout)


def test_an_installed_source_is_found_as_the_documentation_says(tmp_path: Path) -> None:
    documented = re.search(
        r'\[project\.entry-points\."(ticker\.sources)"\]\n(.+?) = "(.+?)"',
        (REPOSITORY / "docs" / "sources.md").read_text(),
    )
    assert documented is not None
    group, name, target = documented.groups()
    shutil.copy(EXAMPLE, tmp_path)
    installed = tmp_path / "own_source-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-source\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    doctor = run(
        *("-m", "ticker", "doctor", "--source", name, "--seconds", "0.5"), PYTHONPATH=str(tmp_path)
    )
    assert doctor.returncode == 0, doctor.stderr
    assert "TIDE-USD" in doctor.stdout
    assert doctor.stdout.endswith("healthy\n")
