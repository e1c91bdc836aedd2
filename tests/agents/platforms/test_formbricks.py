"""Formbricks tells no times of single answers: when a score that comes late was given."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import Delivery
from npsflow.schemas.deltas import PANE
from npsflow.schemas.topics import SERVICE_RECOVERY
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.intake.mapping import FormMapping, Score, Submission
from tests.streams.folding import Record, Task, deltas

from .conformance import endpoint

FORM = FormMapping(platform="formbricks", scores=[Score(question="answers.q_nps", metric="nps")])


def body(data: dict[str, Any]) -> bytes:
    sent = {"id": "r-1", "surveyId": "in-app", "createdAt": "2026-11-01T10:00:00.000Z", "data": {"q_nps": 2}} | data
    return json.dumps({"event": "responseUpdated", "data": sent}).encode()


def submission(**data: Any) -> Submission:
    webhook = platforms.by_name("formbricks").webhook
    assert webhook is not None
    (made,) = webhook.parse(Delivery({}, body(data)), FORM)
    assert isinstance(made, Submission)
    return made


@pytest.mark.parametrize(
    ("updated", "submitted"),
    [
        (None, "2026-11-01T10:00:00.000Z"),
        ("2026-11-01T10:05:00.000Z", "2026-11-01T10:00:00.000Z"),
        ("2026-11-02T10:00:00.000Z", "2026-11-01T10:00:00.000Z"),
        ("2026-11-02T10:00:01.000Z", "2026-11-02T10:00:01.000Z"),
        ("2026-11-09T10:00:00.000Z", "2026-11-09T10:00:00.000Z"),
        ("2026-12-01T10:00:00.000Z", "2026-11-01T10:00:00.000Z"),  # an old one that was edited
        ("soon", "2026-11-01T10:00:00.000Z"),
        ("2026-11-09T10:00:00", "2026-11-01T10:00:00.000Z"),
    ],
)
def test_when_a_score_was_given(updated: str | None, submitted: str) -> None:
    made = submission(updatedAt=updated)
    assert (made.submitted_at, made.updated_at) == (submitted, updated)


def test_a_score_that_comes_eight_days_later_is_unhappy_today() -> None:
    """In the windows of that day, due the day after, and somebody can act on it."""
    begun = {"createdAt": "2026-11-01T10:00:00Z", "contact": {"id": "ct-1", "userId": "C-77"}}
    first = body(begun | {"updatedAt": "2026-11-01T10:00:00Z", "data": {"q_role": "buyer"}})
    second = body(begun | {"updatedAt": "2026-11-09T10:00:00Z", "data": {"q_role": "buyer", "q_nps": 2}})
    form = msgspec.structs.replace(FORM, fields={"customer.id": "contact.userId"})
    task = Task(Classify(Settings().classify_settings("npsflow/t.", 1)))
    for day, sent in ((1, first), (9, second)):
        now = datetime(2026, 11, day, 10, tzinfo=UTC).timestamp()
        for record in endpoint(form).records(Delivery({}, sent), now):
            task.take(Record(record.key, record.value, timestamp=int(now * 1000)))
    out = task.commit(int(now * 1000))
    (alert,) = [json.loads(output.value or b"") for output in out if output.topic == SERVICE_RECOVERY]
    assert (alert["actionable"], alert["due_at"]) == (True, "2026-11-10T10:00:00Z")
    assert {pane * PANE for _, _, pane, _ in deltas(out)} == {int(now * 1000)}
