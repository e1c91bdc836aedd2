"""What the oracle talks about: records, versions, cases, and everything that is expected."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

Fields = dict[str, Any]
Origin = tuple[int, int, int]  # append time, partition, offset
Segment = tuple[tuple[str, str], ...]
WindowKey = tuple[str, str, Segment, str]  # metric, scale, segment, window
HistoryKey = tuple[str, str, Segment, str, str]  # metric, scale, segment, resolution, start

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SCALES = {"nps": (0, 10), "enps": (0, 10), "csat": (1, 5), "csat_overall": (1, 5), "ces": (1, 7)}
_UNHAPPY_UP_TO = {"nps": 6, "enps": 6, "csat": 2, "csat_overall": 2, "ces": 3}
_NEUTRAL_UP_TO = {"nps": 8, "enps": 8, "csat": 3, "csat_overall": 3, "ces": 4}


def category(metric: str, score: int) -> int:
    """0 is unhappy, 1 in between, 2 happy."""
    return (score > _UNHAPPY_UP_TO[metric]) + (score > _NEUTRAL_UP_TO[metric])


def equal(one: Fields, other: Fields) -> bool:
    """Whether both are the same; 1, 1.0 and true are not."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class Record(NamedTuple):
    """One record of the input topic, as it stands in the log."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Event(NamedTuple):
    """One event read from an output topic: its `ce_type`, its key, its value."""

    type: str
    key: bytes | None
    value: Mapping[str, Any]


class Step(NamedTuple):
    """One event in the life of an alert or follow-up; `cause` only of a retraction."""

    type: str
    key: str
    cause: str = ""


@dataclass
class Case:
    """An alert or a follow-up: its steps so far (the revision is their number) and whether it stands."""

    steps: list[Step] = field(default_factory=list)
    live: bool = False
    identity: tuple[str, int, str] = ("", 0, "")  # metric, category, key
    content: Fields = field(default_factory=dict)  # of the response when it last took a step


@dataclass
class Expected:
    """What must come out. A forwarded record counts as forwarded, and its copy as what it becomes.

    `history` holds the hours and days that are over at `time`, the highest stream time. `spellings` holds of
    (dimension, value as it is counted) the first record that was counted, and how it spells it.
    Records of the same minute are ordered by when the response was submitted.
    """

    read: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    dead: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    forwarded: set[Origin] = field(default_factory=set)
    copies: Counter[Origin] = field(default_factory=Counter)
    windows: dict[WindowKey, Fields] = field(default_factory=dict)
    history: dict[HistoryKey, Fields] = field(default_factory=dict)
    time: float = -inf
    spellings: dict[tuple[str, str], tuple[tuple[int, ...], str]] = field(default_factory=dict)
    alerts: dict[str, Case] = field(default_factory=dict)
    follow_ups: dict[str, Case] = field(default_factory=dict)

    @property
    def raised(self) -> set[str]:
        """The ids of all alerts ever raised."""
        return set(self.alerts)


@dataclass
class Version:
    """A valid record: one version of a response."""

    identity: str
    order: tuple[int, int, int, int]
    submitted: int  # of a deletion: the append time, until it is known what it deletes
    content: Fields
    sent: Fields = field(default_factory=dict)  # its times as they were sent, where `content` holds corrected ones

    @property
    def deleted(self) -> bool:
        """Whether it deletes the response."""
        return self.content.get("deleted") is True

    @property
    def as_sent(self) -> Fields:
        """The content with its times as they were sent: equal in a repetition."""
        return self.content | self.sent

    @property
    def counts(self) -> bool:
        """Whether it enters windows, alerts and follow-ups."""
        return not (self.deleted or self.content.get("test") or self.content.get("internal"))
