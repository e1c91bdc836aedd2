"""Every metric npsflow exports, defined once. Base units; never a customer, a response or free text in a label."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """`registry` is handed in, so that two workers in one process do not share figures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"npsflow_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"npsflow_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"npsflow_{name}_seconds", text, labels, buckets=_SECONDS, registry=registry)

        self.registry = registry
        self._shown: dict[tuple[str, int], list[tuple[Gauge, tuple[str, ...]]]] = {}
        self.outcomes = counter("records", "Records read, by what became of them", "outcome")
        self.responses = counter("responses", "Responses counted for the first time", "metric", "category")
        self.corrections = counter("corrections", "Responses replaced by a newer version", "metric", "category")
        self.accepted = counter("accepted", "Responses accepted, tests and corrections too", "source")
        self.dead = counter("dead_letters", "Records refused, of platforms that were accepted once", "reason", "source")
        self.warnings = counter("warnings", "Fields dropped, cut or moved", "field")
        self.alerts = counter("alerts", "Alert events", "type")
        self.follow_ups = counter("follow_ups", "Follow-up events", "type")
        self.foreign = counter("foreign_partitioner", "Sampled records in another partition than murmur2 gives")
        self.over_cap = counter("segment_values_over_cap", "Deltas of values beyond `max_values`, counted as `other`")
        self.lag = gauge("lag_records", "Records not yet read", "stage", "partition")
        self.stream_time = gauge("stream_time_seconds", "Greatest time seen in the data", "stage", "partition")
        self.remembered = gauge("remembered_responses", "Responses that can be corrected", "partition")
        self.window = gauge("window_responses", "Responses in overall windows", "metric", "scale", "window", "category")
        self.recover_records = counter("recover_records", "Records that recover has read, by what they are", "kind")
        self.case_events = counter("case_events", "What happened to cases", "type")
        self.cases = gauge("cases", "Cases, by where they stand", "partition", "status")
        self.overdue = gauge("overdue_cases", "Cases whose next step should have been done by now", "partition")
        self.first_contacts = counter("first_contacts", "First contacts with unhappy customers", "when")
        self.paused = gauge("paused", "1 where a partition waits for `npsflow dlq accept`", "partition")
        self._by_name = {"cases": self.cases, "overdue_cases": self.overdue}
        self.commits = counter("commits", "Transactions committed", "stage")
        self.failures = counter("task_failures", "Tasks dropped and restored after an error", "stage")
        self.commit_time = seconds("commit", "From the begin of a commit to its end", "stage")
        self.restore_time = seconds("restore", "From assignment of a task to ready", "stage")
        self.alert_time = seconds("alert", "From arrival of an unhappy response to its committed alert")

    def show(self, stage: str, partition: int, gauges: Mapping[tuple[str, ...], float]) -> None:
        """What a fold says of itself after a commit."""
        shown = self._shown[stage, partition] = [(self.lag, (stage, str(partition)))]
        shown.append((self.stream_time, (stage, str(partition))))
        for (name, *labels), value in gauges.items():
            gauge = (self._by_name.get(name, self.window), tuple(labels))
            if name == "remembered":  # of a task that can be paused, too
                gauge = (self.remembered, (str(partition),))
                shown.append((self.paused, (str(partition),)))
            gauge[0].labels(*gauge[1]).set(value)
            shown.append(gauge)

    def forget(self, stage: str, partition: int) -> None:
        """The partition is another worker's now: what was last seen of it is not true any more."""
        for gauge, labels in self._shown.pop((stage, partition), ()):
            gauge.remove(*labels)

    def count(self, counters: Mapping[str, int]) -> None:
        """Add what a commit counted; names are those of the folds' counters."""
        for name, amount in counters.items():
            self._count(name, amount)

    def _count(self, name: str, amount: int) -> None:
        kind, _, rest = name.partition(":")
        if kind == "response" or kind == "correction":
            metric, _, category = rest.partition(":")
            (self.responses if kind == "response" else self.corrections).labels(metric, category).inc(amount)
        elif kind == "dead" and rest:
            reason, _, source = rest.partition(":")
            self.dead.labels(reason, source).inc(amount)
        elif kind == "source":
            self.accepted.labels(rest).inc(amount)
        elif kind == "warning":
            self.warnings.labels(rest).inc(amount)
        elif kind == "event":
            (self.alerts if rest.startswith("npsflow.alert.") else self.follow_ups).labels(rest).inc(amount)
        elif kind == "recover":
            self.recover_records.labels(rest).inc(amount)
        elif kind == "case":
            self.case_events.labels(rest).inc(amount)
        elif kind == "first_contact":
            self.first_contacts.labels(rest).inc(amount)
        elif kind == "foreign_partitioner":
            self.foreign.inc(amount)
        elif kind == "over_cap":
            self.over_cap.inc(amount)
        elif kind not in ("deltas", "ticks", "paused"):
            self.outcomes.labels(kind).inc(amount)
