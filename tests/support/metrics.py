"""Reading Prometheus text."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

#: Values by `name` or `name{label="value"}`.
Samples = dict[str, float]


def parse_metrics(text: str) -> Samples:
    """Read every sample, under its name with its labels in the order of their names."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples
