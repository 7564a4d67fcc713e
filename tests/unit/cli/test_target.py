"""Which key a command uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker.cli import main


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_key_is_one_that_is_not_set(
    blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKER_API_KEY", blank)
    assert main(["watch", "--url", "http://127.0.0.1:1", "--json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ticker: an API key is needed")
