"""Topics: name, what its key and value are, how it is kept. Names are without the installation's prefix."""

from dataclasses import dataclass
from typing import Literal

RESPONSES = "survey-responses"
DEAD_LETTERS = "survey-responses-dlq"
SERVICE_RECOVERY = "service-recovery"
FOLLOW_UP = "customer-follow-up"
PANES = "nps-panes"
WINDOWS = "nps-windows"
HISTORY = "nps-history"
SCORE_ALERTS = "nps-alerts"
ACTIONS = "recovery-actions"
CASES = "recovery-cases"
INVITATIONS = "survey-invitations"
FETCHES = "survey-fetches"
NOTIFY_LOG = "notify-log"
DLQ_LOG = "dlq-log"
CUSTOMER_KEYS = "customer-keys"

MAX_INPUT = 1024 * 1024  # bytes of a response
MAX_RECORD = 2 * 1024 * 1024  # bytes, on every topic
_WHY = 16 * 1024  # bytes more for a dead letter, which is the record and the reason

CHANGEABLE = frozenset(
    {
        "delete.retention.ms",
        "max.compaction.lag.ms",
        "max.message.bytes",
        "message.timestamp.type",
        "min.cleanable.dirty.ratio",
        "segment.bytes",
        "segment.ms",
    }
)
"""Kafka's settings of topics without which npsflow works: slower, with more on disk, or later to forget."""

HISTORY_DAYS = 400
"""How long days of history are kept, unless a setting says otherwise."""

_DAY = 86_400_000
_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """`partitions`: which count applies, that of the input, of the roll-up, or one. `retention_days` None: for ever.

    `internal`: between stages, in a format of its own, no contract. `shreds`: only with `[sealing]`; what is deleted in
    it has to leave the brokers' files within hours.
    """

    name: str
    key: str
    value: str
    partitions: Literal["input", "panes", "one"]
    cleanup: Literal["delete", "compact", "compact,delete"]
    retention_days: int | None
    internal: bool = False
    shreds: bool = False

    def config(self, horizon_days: int, history_days: int = HISTORY_DAYS) -> dict[str, str]:
        """Kafka's settings of this topic. What is replayed is old: only append time keeps retention off it."""
        days = history_days if self.name == HISTORY else self.retention_days
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MAX_RECORD),
        }
        if self.name == DEAD_LETTERS:
            config["max.message.bytes"] = str(MAX_RECORD + _WHY)
        if self.cleanup != "delete":
            config |= {"segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.2"}
        if self.shreds:
            # A segment ends, and is compacted, an hour after its first record; with one partition any key ends it.
            config |= {"max.compaction.lag.ms": str(_HOUR), "min.cleanable.dirty.ratio": "0.01"}
            config |= {"segment.ms": str(_HOUR), "delete.retention.ms": str(_DAY)}
        if self.cleanup == "compact":
            # What was deleted or replaced has to leave the brokers' files in time: people have a right to that.
            return config | {"max.compaction.lag.ms": str(_DAY)}
        kept = -1 if days is None else max(days, horizon_days) * _DAY
        return config | {"retention.ms": str(kept)}


ALL = (
    Topic(RESPONSES, "source/response_id", "response", "input", "delete", 90),
    Topic(DEAD_LETTERS, "as received", "bytes as received, reason in headers", "input", "delete", 180),
    Topic(SERVICE_RECOVERY, "customer id, else source/response_id", "alert events", "input", "delete", 90),
    Topic(FOLLOW_UP, "customer id, else source/response_id", "follow-up events", "input", "delete", 90),
    Topic(PANES, "metric, scale and dimension names", "packed histogram deltas, ticks", "panes", "delete", 90, True),
    Topic(WINDOWS, "JSON [metric, scale, segment, window]", "rolling window", "panes", "compact", None),
    Topic(
        HISTORY,
        "JSON [metric, scale, segment, resolution, start]",
        "counts of an hour or a day",
        "panes",
        "compact,delete",
        HISTORY_DAYS,
    ),
    Topic(SCORE_ALERTS, "JSON [rule, metric, scale, segment]", "alerts about scores", "panes", "delete", 90),
    Topic(ACTIONS, "customer id, else source/response_id", "action of a team on a case", "input", "delete", 90),
    Topic(CASES, "case id, in the partition of its customer", "case as it stands", "input", "compact", None),
    Topic(INVITATIONS, "customer id, else source/invitation_id", "invitation", "input", "delete", 90),
    Topic(FETCHES, "intake/event id", "a response to be fetched", "input", "compact", None, True),
    Topic(NOTIFY_LOG, "notifier/event id", "a message, sent or to be sent", "input", "compact,delete", 90, True),
    # Kept longer than the letters: what was replayed stays known as long as its letter can be seen.
    Topic(DLQ_LOG, "letter id, or a partition", "replayed, or accepted up to here", "input", "delete", 365, True),
    # Kept longer than anything that is sealed by them, counted from when one was last used.
    Topic(CUSTOMER_KEYS, "customer id#key id", "a key", "one", "compact,delete", 400, True, shreds=True),
)
BY_NAME = {topic.name: topic for topic in ALL}


def changelog(stage: str, kind: Literal["state", "remembered"]) -> str:
    """The name of a stage's changelog."""
    return f"npsflow-{stage}-{kind}"
