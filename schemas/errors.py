"""Every error that npsflow raises on purpose.

NpsflowError
├── SettingsError (ValueError)      npsflow.toml or NPSFLOW_* cannot be used
├── NoSuchCase (LookupError)        no case has this id
├── AmbiguousName (LookupError)     several ids begin like this
├── TopicsRefused (RuntimeError)     the broker does not make a topic
├── RefusedRecord (ValueError)      one input record cannot be accepted: it becomes a dead letter
└── StateError (RuntimeError)       a partition cannot be worked on
    ├── ChangelogRefused            its changelog cannot be trusted: a person must decide
    └── TransactionFailed           a commit did not happen, or nobody knows: restore and replay
"""

from collections.abc import Collection, Mapping
from typing import Literal

Reason = Literal[
    "null_value",
    "too_large",
    "not_utf8",
    "too_deep",
    "not_json",
    "not_object",
    "schema_prefix",
    "compressed",
    "binary",
    "double_encoded",
    "several_responses",
    "envelope",
    "missing_field",
    "invalid_identifier",
    "unknown_metric",
    "invalid_scale",
    "unknown_scale",
    "invalid_score",
    "score_out_of_range",
    "invalid_time",
    "too_late",
    "in_the_future",
    "internal_error",
    "unmapped",
    "invalid_action",
    "unfetched",
]
"""The fixed words of `npsflow_dlq_reason`."""

_MOST_CANDIDATES = 5  # are listed: nobody reads more


class NpsflowError(Exception):
    """Base of all errors of this package. The text tells what to do and holds no personal data."""

    lasting = False
    """Whether it comes again until a person changes something; else another try may do."""


class SettingsError(NpsflowError, ValueError):
    """A setting is unknown, missing or impossible."""

    lasting = True


class NoSuchCase(NpsflowError, LookupError):
    """No case has this id, nor one that begins like it, nor any of its alerts."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no case {name}: see `npsflow cases`")
        self.name = name


class AmbiguousName(NpsflowError, LookupError):
    """What begins with `name` is several; `candidates` are longer names."""

    def __init__(self, name: str, candidates: Collection[str]) -> None:
        self.name, self.candidates = name, sorted(candidates)
        listed = ", ".join(self.candidates[:_MOST_CANDIDATES]) + (", …" if len(candidates) > _MOST_CANDIDATES else "")
        super().__init__(f"{name} names {len(candidates)} of them, say which: {listed}")


class RefusedRecord(NpsflowError, ValueError):
    """An input record that cannot be accepted.

    `reason` is one of the fixed words, `source` the platform where it could be read.
    """

    def __init__(self, reason: Reason, message: str, source: str | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.source = source


class TopicsRefused(NpsflowError, RuntimeError):
    """The broker refuses to make topics: `refused` maps each to its sentence, `made` are those that it has made."""

    lasting = True

    def __init__(self, made: Collection[str], refused: Mapping[str, str]) -> None:
        self.made, self.refused = sorted(made), dict(refused)
        lines = [f"the broker refuses topic {name}: {why}" for name, why in sorted(refused.items())]
        super().__init__("\n".join([*lines, "set `[topics]` replication and config in npsflow.toml to what it takes"]))


class StateError(NpsflowError, RuntimeError):
    """Something is wrong with one task; carries which (`topic`, `partition`, and `offset` where there is one)."""

    lasting = True

    def __init__(self, message: str, *, topic: str, partition: int, offset: int | None = None) -> None:
        at = f"{topic}[{partition}]" + ("" if offset is None else f"@{offset}")
        super().__init__(f"{at}: {message}")
        self.topic, self.partition, self.offset = topic, partition, offset


class ChangelogRefused(StateError):
    """The changelog does not fit the input or this version; going on would count wrongly."""


class TransactionFailed(StateError):
    """The transaction was fenced, aborted, or its end is unknown."""

    lasting = False
