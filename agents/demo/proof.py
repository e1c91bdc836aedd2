"""(c) what came out, beside what the oracle expects from the input topic alone."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from npsflow.agents.demo import oracle, reading, show
from npsflow.agents.demo.workers import DemoFailed
from npsflow.schemas import codec, topics
from npsflow.streams.classification import OUTCOMES
from npsflow.streams.settings import Where
from npsflow.streams.stage import Record

_SHOWN = 10  # differences, where there are any


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that stands on the topics, and where the tasks of classify stand."""

    responses: list[Record]
    alerts: list[Record]
    follow_ups: list[Record]
    dead_letters: list[Record]
    windows: list[dict[str, Any]]
    positions: list[dict[str, Any]]


async def collect(where: Where) -> Evidence:
    """Read it all."""
    names = (topics.RESPONSES, topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.DEAD_LETTERS)
    with show.waiting("topics are read"):
        records = [await reading.records(where, name) for name in names]
        return Evidence(*records, await reading.windows(where), await reading.positions(where, "classify"))


def prove(found: Evidence, partitions: int) -> None:
    """Print outcomes and comparison. Raises DemoFailed for any difference."""
    with show.waiting("the oracle computes everything again"):
        expected = oracle.expect((_of_oracle(r) for r in found.responses), partitions=partitions)
    differences = _outcomes(found, expected)
    alerts, follow_ups = [_event(r) for r in found.alerts], [_event(r) for r in found.follow_ups]
    dead = [_dead(r) for r in found.dead_letters]
    body = [
        _row("alert events", _steps(expected.alerts), ((e.value["alert_id"], e.value["revision"]) for e in alerts)),
        _row(
            "follow-up events",
            _steps(expected.follow_ups),
            ((e.value["follow_up_id"], e.value["revision"]) for e in follow_ups),
        ),
        _row("dead letters", ((reason, *at) for reason, places in expected.dead.items() for at in places), dead),
        _row("windows", list(expected.windows), (oracle.window_key(w) for w in found.windows)),
    ]
    show.rows(("compared with the oracle", "expected", "lost", "emitted twice"), body, right=("expected", "lost", "emitted twice"))
    differences += oracle.compare_alerts(expected, alerts) + oracle.compare_follow_ups(expected, follow_ups)
    differences += oracle.compare_dead(expected, dead) + oracle.compare_windows(expected, found.windows)
    differences += oracle.compare_forwarded(expected)
    if differences:
        first = "\n".join(differences[:_SHOWN])
        raise DemoFailed(f"{len(differences)} differences from what the oracle expects, the first of them:\n{first}")
    show.say("Every event, its order, key and content of every window are as expected.")


def _outcomes(found: Evidence, expected: oracle.Expected) -> list[str]:
    """Print what became of the records that were read, by the counters in the changelog; give the differences."""
    counters: Counter[str] = Counter()
    for position in found.positions:
        counters.update(position["counters"])
    outcomes = {name: counters[name] for name in OUTCOMES}
    body = [(name, f"{n:,}") for name, n in outcomes.items()]
    body += [("sum", f"{sum(outcomes.values()):,}"), ("read", f"{expected.read:,}")]
    show.rows(("outcome", "records"), body, right=("records",))
    return oracle.compare_outcomes(expected, outcomes)


def _row(name: str, wanted: Iterable[Hashable], read: Iterable[Hashable]) -> Sequence[str]:
    expected, actual = Counter(wanted), Counter(read)
    twice = actual.total() - len(actual)
    return name, f"{expected.total():,}", f"{(expected - actual).total():,}", f"{twice:,}"


def _steps(cases: dict[str, oracle.Case]) -> Iterable[tuple[str, int]]:
    """Id and revision of every event."""
    return ((name, revision) for name, case in cases.items() for revision in range(1, len(case.steps) + 1))


def _of_oracle(r: Record) -> oracle.Record:
    return oracle.Record(r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))


def _event(r: Record) -> oracle.Event:
    return oracle.Event(dict(r.headers)["ce_type"].decode(), r.key, codec.loads(r.value or b"null"))


def _dead(r: Record) -> tuple[str, int, int]:
    headers = dict(r.headers)
    place = int(headers["npsflow_dlq_partition"]), int(headers["npsflow_dlq_offset"])
    return headers["npsflow_dlq_reason"].decode(), *place
