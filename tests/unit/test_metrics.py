"""Every family, as a scraper reads it."""

from __future__ import annotations

from typing import Any

import attrs

from tests.support.metrics import parse_metrics
from ticker.metrics import Metrics
from ticker.metrics_text import Readings, write_metrics

FIELDS = attrs.fields_dict(Readings)
NUMBERS = {
    name: number
    for number, (name, field) in enumerate(FIELDS.items())
    if "Mapping" not in str(field.type)
}
_VALUES: dict[str, Any] = {name: NUMBERS.get(name, {}) for name in FIELDS}
READINGS = Readings(**_VALUES)


def test_every_reading_is_told_under_its_name() -> None:
    found = parse_metrics(write_metrics(Metrics(), READINGS).decode())
    for name, number in NUMBERS.items():
        told = [found.get(f"ticker_{name}"), found.get(f"ticker_{name}_total")]
        assert number in told, name


def test_what_is_told_by_name_has_its_labels() -> None:
    readings = attrs.evolve(
        READINGS,
        source_up={"kraken": True},
        source_faults={("kraken", "jump"): 2},
        tokens_refused={"expired": 3},
        price_age={"BTC-USD": 0.25},
    )
    found = parse_metrics(write_metrics(Metrics(), readings).decode())
    assert found['ticker_source_up{source="kraken"}'] == 1
    assert found['ticker_source_faults_total{kind="jump",source="kraken"}'] == 2
    assert found['ticker_tokens_refused_total{reason="expired"}'] == 3
    assert found['ticker_price_age_seconds{symbol="BTC-USD"}'] == 0.25


def test_how_long_ticks_took_is_a_histogram() -> None:
    metrics = Metrics()
    for seconds in (0.0004, 0.003, 2.0):
        metrics.fanout_seconds.observe(seconds)
    found = parse_metrics(write_metrics(metrics, READINGS).decode())
    assert found['ticker_fanout_seconds_bucket{le="0.0005"}'] == 1
    assert found['ticker_fanout_seconds_bucket{le="0.005"}'] == 2
    assert found['ticker_fanout_seconds_bucket{le="+Inf"}'] == 3
    assert found["ticker_fanout_seconds_sum"] == 2.0034


def test_close_codes_that_a_client_made_up_share_a_label() -> None:
    metrics = Metrics()
    for code in (1012, 4001, 3999, 3998):
        metrics.stream_closed(code)
    found = parse_metrics(write_metrics(metrics, READINGS).decode())
    assert found['ticker_streams_closed_total{code="1012"}'] == 1
    assert found['ticker_streams_closed_total{code="other"}'] == 2
