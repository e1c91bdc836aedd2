"""Formbricks tells no times of single answers: when a score that comes late was given."""

import json
from typing import Any

import pytest

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import Delivery
from npsflow.streams.intake.mapping import FormMapping, Score, Submission

FORM = FormMapping(platform="formbricks", scores=[Score(question="answers.q_nps", metric="nps")])


def submission(**data: Any) -> Submission:
    sent = {"id": "r-1", "surveyId": "in-app", "createdAt": "2026-11-01T10:00:00.000Z", "data": {"q_nps": 2}} | data
    webhook = platforms.by_name("formbricks").webhook
    assert webhook is not None
    (made,) = webhook.parse(Delivery({}, json.dumps({"event": "responseUpdated", "data": sent}).encode()), FORM)
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
