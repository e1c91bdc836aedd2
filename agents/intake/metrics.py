"""The metrics of the process `npsflow intake`."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


OUTCOMES = (
    "accepted", "unmapped", "no_score", "ignored", "handshake", "forged", "stale", "malformed", "too_large",
    "compressed", "slow", "gone", "limited", "busy", "kafka_away", "failed",
)  # fmt: skip
"""What can become of a webhook at an entrance that is there; see Metrics."""


class Metrics:
    """`entrance`: the NAME of `[intake.NAME]`, or `unknown`.

    Outcomes: `accepted`, `unmapped` (both written to Kafka); understood and without anything to keep: `no_score` (not
    answered yet, or left blank), `ignored` (an event that is not wanted), `handshake` (GET, HEAD, a platform's test);
    `forged` and `stale` (signatures that do not hold), `malformed`, `too_large`, `compressed`, `slow`, `gone` (hung
    up), `limited`, `busy`, `unknown` (no such entrance), `kafka_away`; `failed` is our mistake.
    """

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
        self.connections_refused = Counter(
            "npsflow_intake_connections_refused", "Connections beyond the limit, in all or of one", registry=registry
        )
        self.connections_cut = Counter(
            "npsflow_intake_connections_cut", "Connections that took too long over a step", registry=registry
        )

    def begin(self, entrances: Iterable[str]) -> None:
        """Show every count of these entrances from 0 on: no rule sees a series grow that begins above that."""
        for entrance in entrances:
            for outcome in OUTCOMES:
                self.requests.labels(entrance, outcome)
        for outcome in ("unknown", "malformed"):
            self.requests.labels("unknown", outcome)
