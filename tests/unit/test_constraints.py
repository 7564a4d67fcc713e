"""The tested set of dependencies is complete, within bounds, hashed, and names no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
CONSTRAINTS: Final = (ROOT / "constraints.txt").read_text()
#: One that differs between Pythons stands there once for each.
PINS: Final = re.findall(
    r"^([a-z0-9.-]+)==(\S+)([^\n]*\\\n(?:    --hash=[^\n]+\n?)+)", CONSTRAINTS, re.MULTILINE
)
PINNED: Final = {name: version for name, version, _ in PINS}


def required() -> list[str]:
    """Everything that the project asks for, the groups of `nox` included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups: dict[str, list[Any]] = project["dependency-groups"]
    wanted = [entry for group in groups.values() for entry in group if isinstance(entry, str)]
    return sorted({*project["project"]["dependencies"], *wanted})


@pytest.mark.parametrize("requirement", required())
def test_each_dependency_is_pinned_within_its_bounds(requirement: str) -> None:
    wanted = Requirement(requirement)
    version = PINNED[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(version)


def test_each_pin_has_hashes_and_no_address() -> None:
    assert len(PINS) == len(re.findall(r"^[a-z]", CONSTRAINTS, re.MULTILINE))
    for _, _, block in PINS:
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block)
    assert "://" not in CONSTRAINTS
    assert "index" not in CONSTRAINTS.replace("--no-emit-index-url", "")
