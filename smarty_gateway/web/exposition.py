"""Metrics as Prometheus reads them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Metrics(dict[str, GaugeMetricFamily | CounterMetricFamily]):
    """All metrics by name, in the order in which their first values come."""

    def gauge(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """Add a value that may rise and fall; nothing where it is not known."""
        self._add(GaugeMetricFamily, name, text, value, labels)

    def counter(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """Add a value that only rises."""
        self._add(CounterMetricFamily, name, text, value, labels)

    def _add(
        self,
        family: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        text: str,
        value: float | None,
        labels: Mapping[str, str],
    ) -> None:
        if value is None:
            return
        metric = self.get(name)
        if metric is None:
            metric = self[name] = family(f"smarty_{name}", text, labels=list(labels))
        metric.add_metric(list(labels.values()), value)


def exposition(add_metrics: Callable[[Metrics], None], accept: str) -> tuple[str, bytes]:
    """Return the content type and the text of all metrics, with those of the process.

    Args:
        add_metrics: adds all others.
        accept: the header of the request: who asks for OpenMetrics gets it, others the text format.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(add_metrics))
    ProcessCollector(registry=registry)
    if "application/openmetrics-text" in accept:
        return _OPENMETRICS, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # theirs
    return _TEXT, generate_latest(registry)


class _Collector(Collector):
    """Hands one picture of the process to the library."""

    def __init__(self, add_metrics: Callable[[Metrics], None]) -> None:
        self._add_metrics = add_metrics

    def collect(self) -> Iterable[Metric]:
        """Return all metrics but those of the process."""
        found = Metrics()
        self._add_metrics(found)
        return found.values()
