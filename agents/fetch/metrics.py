"""The metrics of the process `npsflow fetch`."""

from prometheus_client import CollectorRegistry, Counter, Gauge

OUTCOMES = ("fetched", "later", "refused", "dead")


class Metrics:
    """`entrance`: the NAME of `[intake.NAME]`. Outcomes: `fetched`, `later`, `refused` (the token), `dead`."""

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

    def begin(self, entrance: str) -> None:
        """Show every count of an entrance from 0 on: no rule sees a series grow that begins above that."""
        for outcome in OUTCOMES:
            self.fetches.labels(entrance, outcome)
