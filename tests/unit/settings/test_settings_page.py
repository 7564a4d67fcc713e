"""docs/settings.md has every setting, and so has `ticker config --explain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.settings_page import PAGE, page_with, table
from ticker.cli import main
from ticker.settings.fields import fields_of
from ticker.settings.loader import load
from ticker.settings.model import Settings

FIELDS = fields_of(Settings)
#: What else must be set where one is.
COMPANIONS = {
    "bus": {
        "TICKER_TOKEN_KEY": "k" * 32,
        "TICKER_KEY_PEPPER": "p" * 32,
        "TICKER_DATABASE_URL": "postgresql+psycopg://localhost/ticker",
    }
}


def test_the_page_has_the_table_of_the_model() -> None:
    assert PAGE.read_text("utf-8") == page_with(table()), "python -m tests.support.settings_page"


@pytest.mark.parametrize("name", FIELDS)
def test_the_example_of_every_setting_is_one(name: str, tmp_path: Path) -> None:
    field = FIELDS[name]
    (tmp_path / "empty.toml").touch()
    found = load(
        config=tmp_path / "empty.toml",
        environ={**COMPANIONS.get(name, {}), field.variable: field.example},
    )
    assert name in found.settings.named


def test_explain_says_what_each_setting_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "--explain"]) == 0
    shown = capsys.readouterr().out
    for field in FIELDS.values():
        assert f"{field.variable} = " in shown
        assert f"    {field.meaning}\n    example: {field.variable}={field.example}\n" in shown
