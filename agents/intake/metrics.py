"""What intake counts: its process has metrics of its own."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """`registry` is handed in. An entrance is named as in the settings; what is none counts as `unknown`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "npsflow_intake_requests", "Webhooks, by what became of them", ("entrance", "outcome"), registry=registry
        )
        self.latency = Histogram(
            "npsflow_intake_seconds", "From the first byte to the answer", buckets=_SECONDS, registry=registry
        )
        self.produce_failures = Counter(
            "npsflow_intake_produce_failures", "Times that Kafka did not take a webhook", registry=registry
        )
