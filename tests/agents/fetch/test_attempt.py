"""What one attempt makes of answers that hold no score."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from npsflow.agents.fetch.api import HttpApi
from npsflow.agents.fetch.attempt import attempt
from npsflow.agents.fetch.queue import Due, PendingEvent
from npsflow.agents.fetch.sources import Source
from npsflow.agents.platforms.protocol import Answers, Api
from npsflow.schemas.fetch import Fetch
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.intake.entrance import Entrance
from npsflow.streams.intake.mapping import FormMapping, Score, Submission

DUE = Due(("shop", ()), (PendingEvent(0, 0, b"shop/1", Fetch("shop", "1", {}, 0)),))
NOW = 1_772_377_331.0


def submission(answers: dict[str, Any], finished: bool = True) -> Submission:
    return Submission("f", "1", "2026-03-01T15:02:11Z", content=answers, finished=finished)


@pytest.mark.parametrize(
    ("submissions", "topics"),
    [
        ([submission({"nps": 3})], [RESPONSES]),
        ([submission({"rating": 3})], [DEAD_LETTERS]),
        ([submission({"nps": None})], []),
        ([submission({"rating": 3}, finished=False)], []),
        ([submission({}), submission({"nps": 3}), submission({})], [RESPONSES]),
        ([], []),
    ],
)
async def test_a_finished_answer_without_a_mapped_question_is_no_success(
    submissions: list[Submission], topics: list[str]
) -> None:
    """Unless others that came with it have one: then the mapping is right, and the question was left blank."""

    async def fetch(api: Api, ids: Mapping[str, str]) -> list[Submission]:
        return submissions

    form = FormMapping("google_forms", [Score("nps", "nps")])
    source = Source(Entrance("shop", form), Answers("", 1, fetch), cast(HttpApi, None))
    made = await attempt(source, DUE, NOW, 0.0)
    assert [record.topic for record in made.records] == topics
    assert made.outcome == ("dead" if topics == [DEAD_LETTERS] else "fetched")
    assert [record.value for record in made.queue] == [None]
