"""`ticker config` passes what `ticker serve` takes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ticker.cli import main

LINE = b'{"received":1,"message":{"type":"ticker","product_id":"BTC-USD","price":"7"}}\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a settings file of the developer's out of the tests."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"SOURCE": "nosuch"}, "TICKER_SOURCE='nosuch': no source is called 'nosuch'; there are: "),
        ({"SOURCE": "replay:absent.jsonl"}, "replay: absent.jsonl does not exist"),
        ({"SOURCE": "replay:empty.jsonl"}, "replay: empty.jsonl has no price that can be read"),
        ({"SOURCE": "simulated:pace=1"}, "simulated: no option is called 'pace'"),
        ({"SOURCE": "kraken", "KRAKEN_URL": "ws://h:x/"}, "TICKER_KRAKEN_URL='ws://***': expec"),
        (
            {"DATABASE_URL": "mysql://h/x"},
            "TICKER_DATABASE_URL='mysql://h/x': exp",
        ),
        (
            {"SOURCE": "replay:https://us3r:s3cret@h/x"},
            "replay: https://***@h/x does not exist",
        ),
        (
            {"DATABASE_URL": "host=h user=us3r password=s3cret"},
            "TICKER_DATABASE_URL='***': exp",
        ),
        ({"TOKEN_KEY": "a,b,c,d,e,f,g,h,i"}, "TICKER_TOKEN_KEY=********: expected at most 8 keys"),
    ],
)
def test_what_serve_refuses_ends_with_2_and_one_line(
    environ: dict[str, str],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty.jsonl").touch()
    for name, value in environ.items():
        monkeypatch.setenv(f"TICKER_{name}", value)
    assert main(["config"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith(f"ticker: {fault}")


def test_each_source_that_is_refused_has_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TICKER_SOURCE", "coinbase:x,simulated,replay:absent")
    assert main(["config"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("ticker: coinbase: ")
    assert second == "ticker: replay: absent does not exist"


def test_a_recording_that_is_there_passes_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("there.jsonl").write_bytes(LINE)
    monkeypatch.setenv("TICKER_SOURCE", "replay:there.jsonl")
    assert main(["config"]) == 0
    assert "replay:there.jsonl" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["there.jsonl"]


def test_an_address_in_the_place_of_a_command_is_not_repeated_with_its_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "postgresql://us3r:s3cret@h/x"]) == 2
    assert "(postgresql://***@h/x)" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--config", "", "config"], ["config", "--config", " "]])
def test_a_blank_name_of_a_settings_file_is_a_fault_of_usage(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "ticker: Invalid value for '--config': expected the name of a file"
