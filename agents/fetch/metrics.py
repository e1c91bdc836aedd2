"""What fetching counts: its process has metrics of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """`registry` is handed in. An entrance is named as in the settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.fetches = Counter(
            "npsflow_fetches", "Tries to fetch a response, by what became of them", ("entrance", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.pending = Gauge(
            "npsflow_fetch_pending", "Events whose response is not fetched yet", ("entrance",), registry=registry
        )
        self.oldest = Gauge(
            "npsflow_fetch_oldest_seconds", "Since when the oldest of them waits", ("entrance",), registry=registry
        )
        self.produce_failures = Counter(
            "npsflow_fetch_produce_failures", "Times that Kafka did not take what was fetched", registry=registry
        )
