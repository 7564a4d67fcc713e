"""Programs of Debian's that a test needs: found, or the test is skipped; in CI it fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def needed(name: str, *folders: str) -> str:
    """Return the path of a program.

    Args:
        name: of the program.
        folders: patterns of where else to look, as in `/usr/lib/postgresql/*/bin`.
    """
    found = shutil.which(name)
    if found is None:
        candidates = [
            candidate
            for folder in folders
            for candidate in Path("/").glob(f"{folder.lstrip('/')}/{name}")
        ]
        found = str(max(candidates)) if candidates else None
    if found is None:
        message = f"{name} is absent: install it from Debian's packages"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found
