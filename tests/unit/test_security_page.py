"""docs/security.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
PAGE: Final = (TESTS.parent / "docs" / "security.md").read_text()


def test_every_test_that_the_page_names_is_there() -> None:
    named = 0
    for line in PAGE.splitlines():
        path = ""
        for mentioned, name in re.findall(r"`([^`:\s]*\.py|…)(?:::(test_\w+))?`", line):
            path = path if mentioned == "…" else mentioned
            if "test_" not in path:
                continue
            file = TESTS / path
            assert file.is_file(), line
            assert not name or f"def {name}(" in file.read_text(), f"{path}::{name}"
            named += 1
    assert named > 50


def test_every_requirement_of_a_table_is_shown_by_something() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (\d+\.\d+\.\d+|cheat)", line)]
    assert len(rows) > 40
    for row in rows:
        *_, shown, _ = row.split("|")
        assert re.search(r"`[^`]+`|\[|this page", shown), row
