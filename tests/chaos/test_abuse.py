"""A healthy subscriber keeps its ticks whatever one abuser does.

Each abuse runs in a process of its own (`tests/chaos/abuses/`) while a subscriber to everything
counts its ticks and its longest gap. The promise, 95 of 100 ticks a second and no gap above 50 ms,
is held to at full size only (`nox -s chaos`), on a machine with nothing else to do; the default
run, beside other tests on two cores, looks for what would be far off.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from tests.chaos import abuse
from tests.chaos.abuse import Abuse, Target
from tests.chaos.neighbour import Figures, neighbour
from tests.support.server import started

#: How long is measured: by default, and at full size.
SECONDS, SLOW_SECONDS = 1.0, 10.0
#: What the default run holds a subscriber to.
TICKS, GAP_SECONDS = 50.0, 0.5
#: What is promised.
PROMISED_TICKS, PROMISED_GAP_SECONDS = 95.0, 0.05
_ABUSES: Final = [pytest.param(each, id=each.name) for each in abuse.abuses()]


def _symbols(count: int) -> dict[str, str]:
    """Name so many symbols, the usual three where there are no more."""
    if count <= 3:
        return {}
    return {"TICKER_SYMBOLS": ",".join(f"S{number:03}-USD={number + 1}" for number in range(count))}


def _measured(
    tried: Abuse, data_dir: Path, seconds: float, capsys: pytest.CaptureFixture[str]
) -> Figures:
    env = {"TICKER_HTTP_RATE": "20/second", **_symbols(tried.symbols), **tried.env}
    with started("serve", data_dir, env=env) as server, neighbour(server) as subscriber:
        symbols = env.get("TICKER_SYMBOLS", "BTC-USD=,ETH-USD=,SOL-USD=").split(",")
        target = Target(
            server.port, server.new_token(), [each.partition("=")[0] for each in symbols]
        )
        subscriber.begin()
        time.sleep(seconds / 2)  # the span that is measured
        quiet = subscriber.figures()
        with abuse.running(tried.name, target) as running:
            subscriber.begin()
            time.sleep(seconds)  # the same
            found = subscriber.figures()
        assert server.process.poll() is None
    with capsys.disabled():
        print(f"\n{tried.name:32} {found} (quiet: {quiet}); {running.done}")  # noqa: T201 - a figure is for reading
    assert running.done, "the abuse did nothing"
    return found


@pytest.mark.parametrize("tried", _ABUSES)
def test_a_subscriber_keeps_most_of_its_ticks_under(
    tried: Abuse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _measured(tried, tmp_path / "data", SECONDS, capsys)
    assert found.per_second >= TICKS
    assert found.longest <= GAP_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("tried", _ABUSES)
def test_a_subscriber_keeps_its_ticks_under(
    tried: Abuse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _measured(tried, tmp_path / "data", SLOW_SECONDS, capsys)
    assert found.per_second >= PROMISED_TICKS
    assert found.longest <= PROMISED_GAP_SECONDS
