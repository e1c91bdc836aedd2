"""The metrics of a worker. Base units; never a customer, a response or free text in a label."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from npsflow.streams.stage import CounterKey, GaugeKey, Stage

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Those of the engine, and those that `stages` declare: each is defined once, where it is counted.

    `registry` is handed in, so that two workers in one process do not share figures.
    """

    def __init__(self, registry: CollectorRegistry, stages: Iterable[Stage] = ()) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"npsflow_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"npsflow_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"npsflow_{name}_seconds", text, labels, buckets=_SECONDS, registry=registry)

        self.registry = registry
        stages = list(stages)
        self._counters = {
            stage.name: [
                (spec, counter(spec.metric, spec.help, *spec.labels)) for spec in stage.counters if spec.metric
            ]
            for stage in stages
        }
        self._gauges = {
            spec.metric: gauge(spec.metric, spec.help, *spec.labels) for stage in stages for spec in stage.gauges
        }
        self._shown: dict[tuple[str, int], list[tuple[Gauge, tuple[str, ...]]]] = {}
        self.lag = gauge("lag_records", "Records not yet read", "stage", "partition")
        self.stream_time = gauge("stream_time_seconds", "Greatest time seen in the data", "stage", "partition")
        self.paused = gauge("paused", "1 where a partition waits for `npsflow dlq accept`", "partition")
        self.commits = counter("commits", "Transactions committed", "stage")
        self.failures = counter("task_failures", "Tasks dropped and restored after an error", "stage")
        self.commit_time = seconds("commit", "From the begin of a commit to its end", "stage")
        self.restore_time = seconds("restore", "From assignment of a task to ready", "stage")
        self.alert_time = seconds("alert", "From arrival of an unhappy response to its committed alert")

    def show(self, stage: str, partition: int, gauges: Mapping[GaugeKey, float]) -> None:
        """Set the gauges of a fold after a commit."""
        shown = self._shown[stage, partition] = [(self.lag, (stage, str(partition)))]
        shown.append((self.stream_time, (stage, str(partition))))
        for (name, *labels), value in gauges.items():
            gauge = self._gauges[name]
            gauge.labels(*labels).set(value)
            shown.append((gauge, tuple(labels)))

    def pause(self, stage: str, partition: int, paused: bool) -> None:
        """Say that a partition is paused, or goes on."""
        self.paused.labels(str(partition)).set(paused)
        self._shown.setdefault((stage, partition), []).append((self.paused, (str(partition),)))

    def forget(self, stage: str, partition: int) -> None:
        """Remove the gauges of a partition that another worker has now."""
        for gauge, labels in self._shown.pop((stage, partition), ()):
            with suppress(KeyError):
                gauge.remove(*labels)

    def count(self, stage: str, counters: Mapping[CounterKey, int]) -> None:
        """Add what a commit of this stage counted."""
        for (stored, *labels), amount in counters.items():
            for spec, counter in self._counters.get(stage, ()):
                if spec.stored == stored and (not spec.only or labels[0].startswith(spec.only)):
                    (counter.labels(*labels) if labels else counter).inc(amount)
