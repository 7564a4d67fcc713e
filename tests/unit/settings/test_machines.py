"""What the settings of several machines must have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker.settings.loader import MASK, SettingsError, load

BUS = {
    "TICKER_BUS": "redis://:s3cret@10.0.0.1:6379/0",
    "TICKER_TOKEN_KEY": "k" * 32,
    "TICKER_KEY_PEPPER": "p" * 32,
    "TICKER_DATABASE_URL": "postgresql+psycopg://joe:s3cret@10.0.0.2/ticker",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a settings file of this folder out of them."""
    monkeypatch.chdir(tmp_path)


def test_several_machines_have_all_that_they_must_share_and_no_demo_key() -> None:
    found = load(environ=BUS)
    assert found.settings.bus == BUS["TICKER_BUS"]
    assert found.settings.market == "ticker"
    assert not found.settings.makes_demo_key
    shown = {origin.field.name: origin.shown for origin in found.origins}
    assert shown["bus"] == "redis://***@10.0.0.1:6379/0"
    assert shown["database_url"] == "postgresql+psycopg://***@10.0.0.2/ticker"
    assert shown["key_pepper"] == MASK
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("missing", [name for name in BUS if name != "TICKER_BUS"])
def test_what_several_machines_lack_is_one_line_each(missing: str) -> None:
    environ = {name: value for name, value in BUS.items() if name != missing}
    with pytest.raises(SettingsError) as error:
        load(environ=environ)
    (line,) = error.value.faults
    assert line.startswith(f"{missing}: expected with TICKER_BUS, the same on every machine")
    with pytest.raises(SettingsError) as error:
        load(environ={"TICKER_BUS": "redis://localhost", "TICKER_TOKEN_STORE": "memory"})
    assert len(error.value.faults) == 4


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://10.0.0.1",
        "redis://a,b",
        "redis://host/name",
        "redis://host:99999",
        "redis+sentinel://a,b",
        "redis://joe:s3cret@host:x",
    ],
)
def test_a_bus_that_is_none_is_one_line_without_credentials(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(environ={**BUS, "TICKER_BUS": url})
    assert "TICKER_BUS=" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_pepper_is_as_its_file_has_it_or_any_other_text() -> None:
    hexadecimal = bytes(range(32)).hex()
    assert load(environ={"TICKER_KEY_PEPPER": hexadecimal}).settings.key_pepper == bytes(range(32))
    assert load(environ={"TICKER_KEY_PEPPER": "p" * 40}).settings.key_pepper == b"p" * 40
