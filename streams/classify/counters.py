"""What classify counts: the names in its changelog and the metrics that they feed."""

from typing import Literal, get_args

from npsflow.schemas.errors import Reason
from npsflow.schemas.events import ALERT_ENRICHED, ALERT_RAISED, ALERT_REINSTATED, ALERT_RETRACTED
from npsflow.streams.stage import CounterSpec, GaugeSpec, each

Outcome = Literal["counted", "deleted", "test", "repeated", "superseded", "forwarded", "dead"]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""What becomes of a record; their sum is what was read."""

RESPONSE, CORRECTION, SOURCE, DEAD, WARNING, EVENT = "response", "correction", "source", "dead", "warning", "event"
MISPLACED = "misplaced"
PAUSED = ("paused",)
"""1 while the task is paused, so that the pause outlives the worker."""

REASONS = tuple(reason for reason in get_args(Reason) if reason not in ("unmapped", "invalid_action", "unfetched"))
"""Why classify refuses a record: the others are those of intake, recover and fetch."""

_ALERTS = (ALERT_RAISED, ALERT_ENRICHED, ALERT_RETRACTED, ALERT_REINSTATED)

COUNTERS = (
    CounterSpec("", "records", "Records read, by what became of them", ("outcome",), known=each(OUTCOMES)),
    CounterSpec(RESPONSE, "responses", "Responses counted for the first time", ("metric", "category")),
    CounterSpec(CORRECTION, "corrections", "Responses replaced by a newer version", ("metric", "category")),
    CounterSpec(SOURCE, "accepted", "Responses accepted, tests and corrections too", ("source",)),
    CounterSpec(
        DEAD,
        "dead_letters",
        "Records refused, of platforms that were accepted once",
        ("reason", "source"),
        known=each(REASONS),
        along=SOURCE,
    ),
    CounterSpec(WARNING, "warnings", "Fields dropped, cut or moved", ("field",)),
    CounterSpec(EVENT, "alerts", "Alert events", ("type",), only="npsflow.alert.", known=each(_ALERTS)),
    CounterSpec(EVENT, "follow_ups", "Follow-up events", ("type",), only="npsflow.follow_up."),
    CounterSpec(MISPLACED, "misplaced_records", "Records in another partition than murmur2 of their key", ("source",)),
    CounterSpec("foreign_partitioner", "", "The same among one record in 1,000, counted by version 0.1"),
    CounterSpec(*PAUSED, "", "Whether the task is paused"),
)
GAUGES = (GaugeSpec("remembered_responses", "Responses that can be corrected", ("partition",)),)
