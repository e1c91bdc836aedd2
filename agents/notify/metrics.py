"""The metrics of a notifier's process."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)


class Metrics:
    """Registered with `registry`; the label `notifier` is its name in the settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.deliveries = Counter(
            "npsflow_notify_deliveries", "Tries to send a message, by what became of them", ("notifier", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.given_up = Counter(
            "npsflow_notify_given_up", "Messages that are not sent any more", ("notifier",), registry=registry
        )
        self.lost = Counter(
            "npsflow_notify_lost_events", "Offsets of events that were deleted before they were read", ("notifier",),
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "npsflow_notify_waiting", "Messages that are not delivered yet", ("notifier",), registry=registry
        )
        self.oldest = Gauge(
            "npsflow_notify_oldest_seconds", "Since when the event of the oldest of them stands", ("notifier",),
            registry=registry,
        )  # fmt: skip
        self.disabled = Gauge(
            "npsflow_notify_disabled", "Addresses that want nothing any more", ("notifier",), registry=registry
        )
        self.held = Gauge(
            "npsflow_notify_held", "Addresses that take no messages just now", ("notifier",), registry=registry
        )
        self.seconds = Histogram(
            "npsflow_notify_seconds",
            "From an event to its delivery",
            ("notifier",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.produce_failures = Counter(
            "npsflow_notify_produce_failures", "Times that Kafka did not take what became of a message",
            registry=registry,
        )  # fmt: skip

    def begin(self, notifier: str, outcomes: Iterable[str]) -> None:
        """Show its counts from 0 on: no rule sees a series grow that begins above that."""
        for outcome in outcomes:
            self.deliveries.labels(notifier, outcome)
        self.given_up.labels(notifier)
        self.lost.labels(notifier)
