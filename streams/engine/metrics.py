"""The metrics of a worker. Base units; never personal data or free text in a label."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric

from npsflow.streams.engine.observer import (
    Accepted,
    CommitFailed,
    Committed,
    Dropped,
    Event,
    Lagging,
    Lost,
    Observer,
    Paused,
    Released,
    Restored,
    RestoreFailed,
    TaskId,
)
from npsflow.streams.stage import CounterKey, GaugeKey, Stage

UNKNOWN = "unknown"
"""The label of what goes along with a label that nobody has counted."""

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


FRESH = 10.0
"""Seconds for which a figure that has to be measured anew is shown."""


class FreshGauge(Gauge):
    """A gauge whose series go when they were not measured for `FRESH` seconds: old values look like good ones."""

    clock: Callable[[], float] = staticmethod(monotonic)

    def measured(self, labels: tuple[str, ...]) -> None:
        """Note that the series was set just now."""
        vars(self).setdefault("measured_at", {})[labels] = self.clock()

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client asks."""
        measured_at: dict[tuple[str, ...], float] = vars(self).get("measured_at", {})
        for labels, at in list(measured_at.items()):
            if self.clock() - at > FRESH:
                del measured_at[labels]
                with suppress(KeyError):  # its task is gone
                    self.remove(*labels)
        return super().collect()


class Metrics(Observer):
    """Those of the engine, and those that `stages` declare: each is defined once, where it is counted.

    `registry` is a parameter so that two workers in one process do not share figures.
    """

    def __init__(
        self, registry: CollectorRegistry, stages: Iterable[Stage] = (), clock: Callable[[], float] = monotonic
    ) -> None:
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
        self._shown: dict[TaskId, set[tuple[Gauge, tuple[str, ...]]]] = {}
        names = "stage", "partition"
        self._lag = FreshGauge("npsflow_lag_records", "Records not yet read", names, registry=registry)
        self._lag.clock = clock
        self._stream_time = gauge("stream_time_seconds", "Greatest time seen in the data", "stage", "partition")
        self._paused = gauge("paused", "1 where a partition waits for `npsflow dlq accept`", "partition")
        self._commits = counter("commits", "Transactions committed", "stage")
        self._failures = counter("task_failures", "Tasks dropped and restored after an error", "stage")
        self._lost = counter("lost_records", "Offsets deleted unread, and accepted as lost", "stage", "topic")
        self._commit_time = seconds("commit", "From the begin of a commit to its end", "stage")
        self._restore_time = seconds("restore", "From assignment of a task to ready", "stage")
        # Dashboards know it as npsflow_alert_seconds.
        self._urgent_time = seconds("alert", "From arrival of an urgent record to the end of its commit")
        self._begun = set[tuple[str, str, str]]()
        for stage in stages:
            for counted in (self._commits, self._failures):
                counted.labels(stage.name)
            for topic in stage.inputs:
                self._lost.labels(stage.name, topic)
            for spec, metric in self._counters[stage.name]:
                for labels in spec.known:
                    metric.labels(*labels, *([] if spec.along is None else [UNKNOWN]))

    def observe(self, event: Event) -> None:
        """Count it."""
        match event:
            case Lagging(task, records):
                self._show(task, self._lag, place := (task.stage, str(task.partition)), records)
                self._lag.measured(place)
            case Committed(task):
                self._count_commit(task, event)
            case CommitFailed(task, seconds):
                self._commit_time.labels(task.stage).observe(seconds)
            case Restored(task, seconds) | RestoreFailed(task, seconds):
                self._restore_time.labels(task.stage).observe(seconds)
            case Lost(task, topic, begin, end):
                self._lost.labels(task.stage, topic).inc(end - begin)
            case Dropped(task):
                self._failures.labels(task.stage).inc()
            case Paused(task) | Accepted(task):
                self._show(task, self._paused, (str(task.partition),), isinstance(event, Paused))
            case Released(task):
                for gauge, labels in self._shown.pop(task, ()):
                    with suppress(KeyError):
                        gauge.remove(*labels)

    def _count_commit(self, task: TaskId, event: Committed) -> None:
        self._commits.labels(task.stage).inc()
        self._commit_time.labels(task.stage).observe(event.seconds)
        self._show(task, self._stream_time, (task.stage, str(task.partition)), event.stream_time / 1000)
        if event.urgent_age is not None:
            self._urgent_time.observe(event.urgent_age / 1000)
        self.count(task.stage, event.counters)
        self.show(task, event.gauges)

    def count(self, stage: str, counters: Mapping[CounterKey, int]) -> None:
        """Add what this stage has counted."""
        for (stored, *labels), amount in counters.items():
            self._begin(stage, stored, labels)
            for spec, counter in self._counters.get(stage, ()):
                if spec.stored == stored and (not spec.only or labels[0].startswith(spec.only)):
                    (counter.labels(*labels) if labels else counter).inc(amount)

    def _begin(self, stage: str, stored: str, labels: list[str]) -> None:
        """Let series begin at 0 that go along with this label."""
        if not labels or (stage, stored, labels[0]) in self._begun:
            return
        self._begun.add((stage, stored, labels[0]))
        for spec, counter in self._counters.get(stage, ()):
            for known in spec.known if spec.along == stored else ():
                counter.labels(*known, labels[0])

    def show(self, task: TaskId, gauges: Mapping[GaugeKey, float]) -> None:
        """Set the gauges of a fold."""
        for (name, *labels), value in gauges.items():
            self._show(task, self._gauges[name], tuple(labels), value)

    def _show(self, task: TaskId, gauge: Gauge, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge that goes when the task does."""
        gauge.labels(*labels).set(value)
        self._shown.setdefault(task, set()).add((gauge, labels))
