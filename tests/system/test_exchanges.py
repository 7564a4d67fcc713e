"""The whole program on prices of exchanges, played by stand-ins over TLS on loopback."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.exchange_standin import (
    BINANCE,
    COINBASE,
    EVERY,
    KRAKEN,
    DistantExchange,
    Manners,
    StandIn,
    in_a_thread,
)
from tests.exchange_standin.running import first_symbol
from tests.support.server import Server, environment, script, started
from tests.support.waiting import wait_until
from ticker.market.sources.replay import parse_line

every_exchange = pytest.mark.parametrize("manners", EVERY, ids=lambda manners: manners.name)


@contextmanager
def exchange(manners: Manners, directory: Path) -> Iterator[DistantExchange]:
    with in_a_thread(StandIn(manners), directory, manners.path) as distant:
        yield distant


def run(
    directory: Path, *args: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end."""
    return subprocess.run(
        [script("ticker"), *args],
        cwd=directory,
        env=environment(directory / "data", env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def quote(server: Server, symbol: str) -> dict[str, object] | None:
    """Return the newest quote of a symbol; None before its first."""
    authorization = {"Authorization": f"Bearer {server.token()}"}
    status, _, body = server.request("GET", f"/prices/{symbol}", headers=authorization)
    found: dict[str, object] | None = json.loads(body) if status == 200 else None
    return found


def ready(server: Server) -> bool:
    return server.request("GET", "/readyz")[0] == 200


@every_exchange
def test_a_price_of_an_exchange_reaches_a_user_exactly(tmp_path: Path, manners: Manners) -> None:
    symbol = first_symbol(manners)
    with exchange(manners, tmp_path) as distant:
        standin = distant.exchange.standin
        env = distant.environment(manners.name) | {
            "TICKER_SOURCE": manners.name,
            "TICKER_SYMBOLS": symbol,
        }
        with started("serve", tmp_path / "data", env=env) as server:
            distant.run(standin.subscribed)
            distant.run(standin.trade, symbol, "0.07210000")
            authorization = {"Authorization": f"Bearer {server.token()}"}

            def priced() -> bytes | None:
                _, _, body = server.request("GET", f"/prices/{symbol}", headers=authorization)
                return body if b"0.07210000" in body else None

            body = wait_until(priced, "the price")
            assert json.loads(body)["source"] == manners.name
            assert ready(server)
            assert server.stop() == 0


@every_exchange
def test_what_an_exchange_says_besides_the_price_reaches_a_user_exactly(
    tmp_path: Path, manners: Manners
) -> None:
    symbol = first_symbol(manners)
    with exchange(manners, tmp_path) as distant:
        standin = distant.exchange.standin
        market = standin.markets[symbol]
        market.bid, market.ask = "99.990", "100.010"
        env = distant.environment(manners.name) | {
            "TICKER_SOURCE": manners.name,
            "TICKER_SYMBOLS": symbol,
        }
        with started("serve", tmp_path / "data", env=env) as server:
            distant.run(standin.subscribed)
            distant.run(standin.trade, symbol, "100.00")
            authorization = {"Authorization": f"Bearer {server.token()}"}

            def told() -> bytes | None:
                _, _, body = server.request("GET", f"/prices/{symbol}", headers=authorization)
                return body if f'"high_24h":{market.high}'.encode() in body else None

            body = wait_until(told, "the day's figures", seconds=20)
            wanted = {"low_24h": market.low, "volume_24h": market.volume}
            if manners.name != "kraken":  # whose open follows from its change
                wanted["open_24h"] = market.open
            if manners.name != "bitstamp":
                wanted |= {"bid": "99.990", "ask": "100.010"}
            for name, text in wanted.items():
                assert f'"{name}":{text}'.encode() in body, name
            found = json.loads(body)
            assert ("bid" in found) == (manners.name != "bitstamp")
            assert "change_24h" in found
            assert "since" not in found


@pytest.mark.parametrize("backfill", ["on", "off"])
@pytest.mark.parametrize("manners", [COINBASE, KRAKEN, BINANCE], ids=lambda each: each.name)
def test_the_past_is_filled_from_the_exchange_and_marked(
    tmp_path: Path, manners: Manners, backfill: str
) -> None:
    symbol = first_symbol(manners)
    with exchange(manners, tmp_path) as distant:
        standin = distant.exchange.standin
        standin.markets[symbol].candles_from = 0
        env = distant.environment(manners.name) | {
            "TICKER_SOURCE": manners.name,
            "TICKER_SYMBOLS": symbol,
            "TICKER_BACKFILL": backfill,
        }
        with started("serve", tmp_path / "data", env=env) as server:
            distant.run(standin.subscribed)
            distant.run(standin.trade, symbol, "100.00")
            authorization = {"Authorization": f"Bearer {server.token()}"}
            path = f"/prices/{symbol}/history?step=1m&limit=200"

            def past(least: int) -> dict[str, list[list[float]]] | None:
                _, _, body = server.request("GET", path, headers=authorization)
                answer: dict[str, list[list[float]]] = json.loads(body)
                return answer if len(answer["bars"]) >= least else None

            if backfill == "off":
                wait_until(lambda: past(1), "the first bar", seconds=20)
                found = past(1)
                assert found is not None
                assert "backfilled" not in found
                assert not [q for q in standin.questions if "andles" in q or "OHLC" in q]
                return
            found = wait_until(lambda: past(150), "the past", seconds=30)
            spans = found["backfilled"]
            own = found["bars"][-1]
            assert spans[-1][1] <= own[0]
            filled = [bar for bar in found["bars"] if any(a <= bar[0] < b for a, b in spans)]
            assert len(filled) == len(found["bars"]) - 1
            assert all(bar[5] == 12.5 for bar in filled)


def test_a_silent_exchange_is_stale_and_live_again_once_it_speaks(tmp_path: Path) -> None:
    with exchange(COINBASE, tmp_path) as distant:
        standin = distant.exchange.standin
        env = distant.environment("coinbase") | {
            "TICKER_SOURCE": "coinbase",
            "TICKER_SYMBOLS": "BTC-USD",
            "TICKER_RESTART_INITIAL": "100ms",
        }
        with started("serve", tmp_path / "data", env=env) as server:
            distant.run(standin.subscribed)
            distant.run(standin.trade, "BTC-USD", "42000.10")
            wait_until(lambda: ready(server), "prices")
            standin.beats = False
            wait_until(lambda: not ready(server), "the silence to be seen", seconds=20)
            crash = server.wait_event("source_crashed")
            assert crash["reason"] == "coinbase: no heartbeat for 5 s"
            assert "exception" not in crash
            distant.run(standin.wait_for, lambda: standin.accepted > 1)
            standin.beats = True
            distant.run(standin.subscribed)
            distant.run(standin.trade, "BTC-USD", "42000.20")
            wait_until(lambda: ready(server), "prices again", seconds=20)

            def is_new() -> bool:
                found = quote(server, "BTC-USD")
                return found is not None and found["price"] == 42000.2

            wait_until(is_new, "the new price")
            restarts = 'ticker_source_restarts_total{source="coinbase"}'
            wait_until(lambda: server.metrics()[restarts] >= 1, "the restart counted")


def test_the_next_exchange_takes_over_a_symbol_and_gives_it_back(tmp_path: Path) -> None:
    with (
        exchange(COINBASE, tmp_path / "coinbase") as first,
        exchange(KRAKEN, tmp_path / "kraken") as second,
    ):
        both = tmp_path / "authorities.pem"
        both.write_bytes(b"".join(each.exchange.authority.read_bytes() for each in (first, second)))
        env = {
            **first.environment("coinbase"),
            **second.environment("kraken"),
            "SSL_CERT_FILE": str(both),
            "TICKER_SOURCE": "coinbase,kraken",
            "TICKER_SYMBOLS": "BTC-USD",
            "TICKER_STALE_AFTER": "2s",
            "TICKER_RESTART_INITIAL": "100ms",
        }
        preferred, other = first.exchange.standin, second.exchange.standin
        with started("serve", tmp_path / "data", env=env) as server:

            def source() -> object:
                found = quote(server, "BTC-USD")
                return found and found["source"]

            first.run(preferred.subscribed)
            first.run(preferred.trade, "BTC-USD", "42000.10")
            wait_until(lambda: source() == "coinbase", "the first exchange's price")
            second.run(other.subscribed)
            second.run(other.trade, "BTC-USD", "42000.90")
            preferred.acknowledges = False
            first.run(preferred.close, 1001, "maintenance")
            wait_until(lambda: source() == "kraken", "the next exchange to take over")
            assert ready(server)
            preferred.acknowledges = True
            first.run(preferred.break_off)
            first.run(preferred.subscribed)
            first.run(preferred.trade, "BTC-USD", "42000.20")
            wait_until(lambda: source() == "coinbase", "the symbol to be given back", seconds=30)
            found = quote(server, "BTC-USD")
            assert found is not None
            assert found["price"] == 42000.2


@every_exchange
def test_the_doctor_finds_an_exchange_healthy(tmp_path: Path, manners: Manners) -> None:
    symbol = first_symbol(manners)
    with exchange(manners, tmp_path) as distant:
        standin = distant.exchange.standin
        env = distant.environment(manners.name) | {"TICKER_SYMBOLS": symbol}
        command = [script("ticker"), "doctor", "--source", manners.name, "--seconds", "3"]
        with subprocess.Popen(
            command,
            env=environment(tmp_path / "data", env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as doctor:
            distant.run(standin.subscribed)
            distant.run(standin.trade, symbol, "0.07210000")
            output, _ = doctor.communicate(timeout=20)
    assert doctor.returncode == 0, output
    assert output.startswith(f"{manners.name} at localhost:")
    assert f"{symbol:<12} 0.07210000  " in output
    assert output.endswith("healthy\n")


def test_an_unknown_symbol_does_not_keep_the_others_back(tmp_path: Path) -> None:
    with exchange(COINBASE, tmp_path) as distant:
        standin = distant.exchange.standin
        env = distant.environment("coinbase") | {
            "TICKER_SOURCE": "coinbase",
            "TICKER_SYMBOLS": "BTC-USD,ETHH-USD",
        }
        with started("serve", tmp_path / "data", env=env) as server:
            distant.run(standin.subscribed)
            distant.run(standin.trade, "BTC-USD", "42000.10")
            wait_until(lambda: quote(server, "BTC-USD"), "the price of the other")
            assert quote(server, "ETHH-USD") is None


def test_the_doctor_names_an_unknown_symbol_and_the_nearest(tmp_path: Path) -> None:
    with exchange(COINBASE, tmp_path) as distant:
        env = distant.environment("coinbase") | {"TICKER_SYMBOLS": "BTC-USD,ETHH-USD"}
        found = run(tmp_path, "doctor", "--source", "coinbase", "--seconds", "5", env=env)
    assert found.returncode == 1
    assert "  ETHH-USD     no price: not listed; nearest: ETH-USD" in found.stdout
    assert "  subscribed to 1 of 2 symbols in " in found.stdout
    assert "  refused: 1\n" in found.stdout
    assert found.stdout.endswith("not healthy\n")
    assert not found.stderr


def test_the_doctor_looks_at_every_source_of_the_settings(tmp_path: Path) -> None:
    with (
        exchange(COINBASE, tmp_path / "coinbase") as first,
        exchange(KRAKEN, tmp_path / "kraken") as second,
    ):
        both = tmp_path / "authorities.pem"
        both.write_bytes(b"".join(each.exchange.authority.read_bytes() for each in (first, second)))
        for each in (first, second):
            each.exchange.standin.markets["BTC-USD"].price = "42000.10"
        env = {
            **first.environment("coinbase"),
            **second.environment("kraken"),
            "SSL_CERT_FILE": str(both),
            "TICKER_SOURCE": "coinbase,kraken",
            "TICKER_SYMBOLS": "BTC-USD",
        }
        found = run(tmp_path, "doctor", "--seconds", "4", env=env)
    assert found.returncode == 0, found
    assert found.stdout.count("  connected once, ") == 2
    assert found.stdout.count("  subscribed to 1 of 1 symbols in 1 batch\n") == 2
    assert found.stdout.count("  BTC-USD      42000.10  ") == 2


def test_the_doctor_refuses_an_exchange_whose_authority_is_not_trusted(tmp_path: Path) -> None:
    with exchange(COINBASE, tmp_path) as distant:
        env = distant.environment("coinbase")
        del env["SSL_CERT_FILE"]
        found = run(tmp_path, "doctor", "--source", "coinbase", "--seconds", "5", env=env)
    assert found.returncode == 1
    assert "SSLCertVerificationError" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (["doctor", "--source", "mtgox"], "no source is called 'mtgox'"),
        (["doctor", "--source", "replay:absent"], "replay: absent does not exist"),
        (["doctor", "--seconds", "0"], "Invalid value for '--seconds'"),
        (["record"], "Missing argument 'FILE'"),
        (["record", "x", "--source", "simulated"], "Invalid value for '--source'"),
    ],
)
def test_a_wrong_command_is_one_clear_line(tmp_path: Path, args: list[str], fault: str) -> None:
    found = run(tmp_path, *args)
    assert found.returncode == 2
    assert fault in found.stderr
    assert "Traceback" not in found.stderr


def test_a_recording_is_not_written_over_another_file(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    found = run(tmp_path, "record", "precious")
    assert (found.returncode, precious.read_text()) == (1, "precious\n")
    assert "exists and is no capture" in found.stderr


def test_an_unknown_symbol_is_not_recorded_for_ever(tmp_path: Path) -> None:
    with exchange(KRAKEN, tmp_path) as distant:
        env = distant.environment("kraken") | {"TICKER_SYMBOLS": "ETHH-USD"}
        found = run(tmp_path, "record", "capture.jsonl", "--source", "kraken", env=env)
    assert found.returncode == 2
    fault = "ticker: kraken does not have ETHH-USD; nearest: ETH-USD"
    assert any(line.startswith(fault) for line in found.stderr.splitlines())


@contextmanager
def recording(distant: DistantExchange, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Record until the block is left; it begins once three trades are on the disk."""
    standin = distant.exchange.standin
    env = distant.environment("coinbase") | {"TICKER_SYMBOLS": "BTC-USD"}
    with subprocess.Popen(
        [script("ticker"), "record", str(path), "--source", "coinbase"],
        env=environment(path.parent / "data", env),
        stderr=subprocess.PIPE,
        text=True,
    ) as recorder:
        try:
            distant.run(standin.subscribed)
            for cents in (10, 20, 30):
                distant.run(standin.trade, "BTC-USD", f"42000.{cents}")
            wait_until(lambda: b"42000.30" in path.read_bytes(), "the trades on the disk")
            yield recorder
        finally:
            recorder.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_recording_plays_back_however_it_was_ended(tmp_path: Path, number: int) -> None:
    path = tmp_path / "capture.jsonl"
    with exchange(COINBASE, tmp_path) as distant, recording(distant, path) as recorder:
        recorder.send_signal(number)
        _, said = recorder.communicate(timeout=10)
    if number == signal.SIGKILL:
        assert recorder.returncode == -number
    else:
        assert recorder.returncode == 0
        assert said.splitlines()[-1].endswith(" messages recorded")
    prices = [str(p.price) for line in path.read_bytes().splitlines() for p in parse_line(line)[1]]
    assert prices == ["42000.10", "42000.20", "42000.30"]
    env = {"TICKER_SOURCE": f"replay:{path}"}
    with started("serve", tmp_path / "data", env=env) as server:
        found = wait_until(lambda: quote(server, "BTC-USD"), "the recorded price")
        assert found["source"] == "replay"
        assert str(found["price"]).startswith("42000.")


def test_a_recording_goes_on_after_the_exchange_has_hung_up(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    with exchange(COINBASE, tmp_path) as distant, recording(distant, path) as recorder:
        standin = distant.exchange.standin
        distant.run(standin.close, 1001, "maintenance")
        distant.run(standin.wait_for, lambda: standin.accepted > 1)
        distant.run(standin.subscribed)
        distant.run(standin.trade, "BTC-USD", "42000.40")
        wait_until(lambda: b"42000.40" in path.read_bytes(), "the trade after it")
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=10)
    assert recorder.returncode == 0


def test_a_full_disk_ends_a_recording_with_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "capture.jsonl"
    with exchange(COINBASE, tmp_path) as distant:
        env = distant.environment("coinbase") | {"TICKER_SYMBOLS": "BTC-USD"}
        limited = f"ulimit -f 1; exec {script('ticker')} record {path}"  # one block of 1 KiB
        with subprocess.Popen(
            ["bash", "-c", limited],
            env=environment(tmp_path / "data", env),
            stderr=subprocess.PIPE,
            text=True,
        ) as recorder:
            distant.run(distant.exchange.standin.subscribed)
            for _ in range(20):
                distant.run(distant.exchange.standin.trade, "BTC-USD", "42000.10")
            _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 1
    _, recorded, fault = said.splitlines()
    assert re.fullmatch(r"[1-9] messages recorded", recorded)
    assert fault == f"ticker: {path} cannot be written: File too large"
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert whole
    assert all(parse_line(line) for line in whole)
