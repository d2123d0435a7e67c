"""Reads what a classifier tells Prometheus, by prometheus-client's own parser."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """All values of one scrape; `scrape["name"]` and `scrape['name{label="value",…}']`, labels in order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: list[Any] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]
        self.values: dict[str, float] = {_name(sample): sample.value for sample in self._samples}

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of each series of this name."""
        return [dict(sample.labels) for sample in self._samples if sample.name == name]

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """The values of this name, by one of its labels."""
        return {sample.labels[label]: sample.value for sample in self._samples if sample.name == name}


def _name(sample: Any) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else str(sample.name)
