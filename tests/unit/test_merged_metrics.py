"""The metrics of several workers are one text of Prometheus' format."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from ticker.merged_metrics import merge

ONE = b"""# HELP a_total First
# TYPE a_total counter
a_total{code="1 {x}"} 2.0
a_total{code="2"} 3.0
# HELP b Second
# TYPE b gauge
b 7.0
"""
TWO = b"""# HELP b Second
# TYPE b gauge
b 8.0
# HELP c Third
# TYPE c gauge
c{d="e"} 1.0
"""


def test_each_sample_says_whose_it_is_and_a_family_stands_together() -> None:
    families = list(text_string_to_metric_families(merge({"1": ONE, "2": TWO}).decode()))
    assert [family.name for family in families] == ["a", "b", "c"]
    samples = [(s.name, s.labels, s.value) for family in families for s in family.samples]
    assert samples == [
        ("a_total", {"worker": "1", "code": "1 {x}"}, 2.0),
        ("a_total", {"worker": "1", "code": "2"}, 3.0),
        ("b", {"worker": "1"}, 7.0),
        ("b", {"worker": "2"}, 8.0),
        ("c", {"worker": "2", "d": "e"}, 1.0),
    ]
