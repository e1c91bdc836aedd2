"""What holds of cases whatever happened on the way: a judge that shares no code with recover.

It does not say what should have been decided (`tests/streams/recovery/test_stage.py` does), but that everything was
decided once, that no step of a case is missing or there twice, and that the table shows the last of them.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from npsflow.streams.stage import Record

_CASE = "npsflow.case."
CaseLine = tuple[str, Record, dict[str, Any]]
"""Type, record and value of an event."""


def compare_cases(recovery: Iterable[Record], follow_ups: Iterable[Record], table: Iterable[Record]) -> list[str]:
    """What is wrong, in words with `lost` or `repeated`; the committed records of each topic, oldest first."""
    decisions: list[CaseLine] = []
    facts: list[CaseLine] = []
    for record in recovery:
        kind, value = _type(record), json.loads(record.value or b"")
        (decisions if kind.startswith(_CASE) else facts).append((kind, record, value))
    facts += [(_type(record), record, json.loads(record.value or b"")) for record in follow_ups]
    if not decisions:
        return []  # no worker runs recover here
    return [*_steps(decisions), *_decided(facts, decisions), *_standing(decisions, table)]


def _type(record: Record) -> str:
    return dict(record.headers)["ce_type"].decode()


def _steps(decisions: list[CaseLine]) -> Iterator[str]:
    """Each event once, and the steps of each case in their order without a gap."""
    seen, revisions = set(), dict[str, int]()
    for _, record, _ in decisions:
        headers = dict(record.headers)
        name, subject = headers["ce_id"].decode(), headers["ce_subject"].decode()
        if name in seen:
            yield f"case event repeated: {name}"
        seen.add(name)
        revision = name.removeprefix(subject + ".")
        if revision.isdigit():
            if int(revision) != revisions.get(subject, 0) + 1:
                yield f"case event lost before: {name}"
            revisions[subject] = int(revision)


def _decided(facts: list[CaseLine], decisions: list[CaseLine]) -> Iterator[str]:
    """Every alert has a case or a reason why not, and so has every ask of somebody who can be reached."""
    decided = set()
    for _, _, value in decisions:
        decided |= {*value.get("alert_ids", ()), value.get("alert_id"), value.get("follow_up_id"), value.get("case_id")}
    for kind, _, value in facts:
        if kind == "npsflow.alert.raised.v1" and value["alert_id"] not in decided:
            yield f"decision on an alert lost: {value['alert_id']}"
        reachable = value.get("customer_id") or value.get("email") or value.get("phone")
        asked = kind == "npsflow.follow_up.requested.v1" and value["action"] and reachable
        if asked and value["follow_up_id"] not in decided:
            yield f"decision on a follow-up lost: {value['follow_up_id']}"


def _standing(decisions: list[CaseLine], table: Iterable[Record]) -> Iterator[str]:
    """The table shows each case as its last event does."""
    last = {value["case_id"]: value for _, _, value in decisions if "history" in value}
    standing = {(record.key or b"").decode(): record.value for record in table}
    for case_id, value in last.items():
        stands = standing.get(case_id)
        if stands is None:
            yield f"case lost from the table: {case_id}"
        elif json.loads(stands)["revision"] < value["revision"]:
            yield f"case in the table is old, a step is lost: {case_id}"
