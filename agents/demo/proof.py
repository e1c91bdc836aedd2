"""(c) what came out, beside what the oracle expects from the input topic alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from npsflow.agents.demo import oracle, outputs, show
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.kafka import reading
from npsflow.schemas import codec, topics
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.engine.installation import Installation
from npsflow.streams.stage import Record

_SHOWN = 10  # differences, where there are any
_WINDOWS, _HISTORY = "windows", "hours and days"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything on the topics, and what classify has counted in its changelog."""

    responses: list[Record]
    alerts: list[Record]
    follow_ups: list[Record]
    dead_letters: list[Record]
    windows: list[dict[str, Any]]
    history: list[dict[str, Any]]
    counters: Mapping[str, int]


async def collect(installation: Installation) -> Evidence:
    """Read it all."""
    with show.waiting("everything on the topics is read"):
        return Evidence(
            responses=await outputs.records(installation, topics.RESPONSES),
            alerts=await outputs.records(installation, topics.SERVICE_RECOVERY),
            follow_ups=await outputs.records(installation, topics.FOLLOW_UP),
            dead_letters=await outputs.records(installation, topics.DEAD_LETTERS),
            windows=await outputs.windows(installation),
            history=await outputs.history(installation),
            counters=await reading.counters(installation, "classify"),
        )


def prove(evidence: Evidence, partitions: int) -> None:
    """Print outcomes and comparison. Raises DemoFailed for any difference."""
    with show.waiting("the oracle works everything out again"):
        expected = oracle.expect((_record(r) for r in evidence.responses), partitions=partitions)
    differences = _outcomes(evidence, expected) + oracle.compare_forwarded(expected)
    alerts, follow_ups = _events(evidence.alerts), _events(evidence.follow_ups)
    dead = [_dead(r) for r in evidence.dead_letters]
    comparisons = (
        (
            "alert events",
            _expected(expected.alerts),
            _revisions(alerts, "alert_id"),
            oracle.compare_alerts(expected, alerts),
        ),
        (
            "follow-up events",
            _expected(expected.follow_ups),
            _revisions(follow_ups, "follow_up_id"),
            oracle.compare_follow_ups(expected, follow_ups),
        ),
        (
            "dead letters",
            Counter((reason, *at) for reason, places in expected.dead.items() for at in places),
            Counter(dead),
            oracle.compare_dead(expected, dead),
        ),
        (
            _WINDOWS,
            Counter(expected.windows.keys()),
            Counter(oracle.window_key(window) for window in evidence.windows),
            oracle.compare_windows(expected, evidence.windows),
        ),
        (
            _HISTORY,
            Counter(expected.history.keys()),
            Counter(oracle.history_key(one) for one in evidence.history if oracle.is_over(one, expected.time)),
            oracle.compare_history(expected, evidence.history),
        ),
    )
    head = ("beside the oracle", "expected", "lost", "emitted twice", "different")
    show.rows(head, [_row(*comparison) for comparison in comparisons], right=head[1:])
    differences += [text for *_, texts in comparisons for text in texts]
    if differences:
        first = "\n".join(differences[:_SHOWN])
        raise DemoFailed(f"{len(differences)} differences from what the oracle expects, the first of them:\n{first}")


def _outcomes(evidence: Evidence, expected: oracle.Expected) -> list[str]:
    """Print what became of the records that were read; give the differences."""
    outcomes: dict[str, int] = {name: evidence.counters.get(name, 0) for name in OUTCOMES}
    figures = outcomes | {"sum": sum(outcomes.values()), "read": expected.read}
    show.rows(("outcome", "records"), [(name, f"{n:,}") for name, n in figures.items()], right=("records",))
    return oracle.compare_outcomes(expected, outcomes)


def _row(name: str, wanted: Counter[Any], read: Counter[Any], different: list[str]) -> tuple[str, ...]:
    twice = "-" if name in (_WINDOWS, _HISTORY) else f"{read.total() - len(read):,}"  # a table has each key once anyway
    return name, f"{wanted.total():,}", f"{(wanted - read).total():,}", twice, f"{len(different):,}"


def _expected(cases: Mapping[str, oracle.Case]) -> Counter[tuple[str, int]]:
    """Id and revision of every event that is expected."""
    return Counter((name, revision) for name, case in cases.items() for revision in range(1, len(case.steps) + 1))


def _revisions(events: Iterable[oracle.Event], id_: str) -> Counter[tuple[str, int]]:
    """Id and revision of every event that was read."""
    return Counter((event.value[id_], event.value["revision"]) for event in events)


def _record(r: Record) -> oracle.Record:
    return oracle.Record(r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))


def _events(records: Iterable[Record]) -> list[oracle.Event]:
    """Events of alerts and follow-ups; those of cases are not the oracle's."""
    typed = ((dict(r.headers)["ce_type"].decode(), r) for r in records)
    return [oracle.Event(kind, r.key, codec.loads(r.value or b"null")) for kind, r in typed if ".case." not in kind]


def _dead(r: Record) -> tuple[str, int, int]:
    headers = dict(r.headers)
    place = int(headers["npsflow_dlq_partition"]), int(headers["npsflow_dlq_offset"])
    return headers["npsflow_dlq_reason"].decode(), *place
