"""How severe, whether anyone can act, and what is asked."""

from datetime import UTC, datetime
from typing import Any

import pytest

from npsflow.schemas.response import Customer, Metric, Reference, Response
from npsflow.schemas.times import DAY
from npsflow.streams.classify.policy import Rule, action, not_actionable, open_question
from npsflow.streams.scoring.questions import OPEN_QUESTIONS
from npsflow.streams.scoring.scores import BEST, DEFAULT_SCALES, MIDDLE, Scales, scale_of
from npsflow.streams.scoring.severity import severity_of

AT = datetime(2026, 3, 1, 15, tzinfo=UTC)
SCALE = DEFAULT_SCALES["nps"]


def answer(**fields: Any) -> Response:
    return Response("1", "s", "q", "nps", 2, AT, **fields)


@pytest.mark.parametrize(
    ("metric", "levels"),
    [
        ("nps", ["critical"] * 3 + ["high"] * 2 + ["medium"] * 2),
        ("csat", ["critical", "medium"]),
        ("csat_overall", ["critical", "medium"]),
        ("ces", ["critical", "medium", "medium"]),
    ],
)
def test_severity_of_each_unhappy_score(metric: Metric, levels: list[str]) -> None:
    scale = DEFAULT_SCALES[metric]
    assert [severity_of(scale, scale.low + at, False)[0] for at in range(len(levels))] == levels
    assert severity_of(scale, scale.low, False)[1] == (scale.words[0],)
    assert severity_of(scale, scale.low + 1, True) == ("critical", (scale.words[0], "contact_requested"))


def test_severity_where_the_scale_is_turned_or_wider() -> None:
    turned = Scales(ces_seven_is_hard=True).defaults["ces"]
    assert [severity_of(turned, score, False)[0] for score in (7, 6, 5)] == ["critical", "medium", "medium"]
    percent = scale_of("nps", 0, 100, range(61), range(61, 81))
    assert [severity_of(percent, score, False)[0] for score in (0, 1, 60)] == ["critical", "medium", "medium"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "no_contact"),
        ({"customer": Customer()}, "no_contact"),
        ({"customer": Customer(name="Ann", account_id="A")}, "no_contact"),
        ({"customer": Customer(id="C")}, None),
        ({"customer": Customer(email="a@example.org")}, None),
        ({"customer": Customer(phone="0")}, None),
        ({"reference": Reference(type="ticket")}, "no_contact"),
        ({"reference": Reference(id="T-1")}, None),
        ({"reference": Reference(url="https://example.org")}, None),
    ],
)
def test_who_can_be_reached(fields: dict[str, Any], why: str | None) -> None:
    assert not_actionable(answer(**fields), 7 * DAY, 0) == why
    assert not_actionable(answer(**fields), 7 * DAY + 1, 0) == "stale"


def test_what_is_asked() -> None:
    assert action(SCALE, MIDDLE, answer(), []) == "ask"
    assert action(SCALE, BEST, answer(), []) is None
    assert action(SCALE, BEST, answer(), [Rule("referral")]) == "referral"
    assert action(DEFAULT_SCALES["csat"], BEST, answer(), [Rule("referral")]) is None
    assert action(DEFAULT_SCALES["csat"], MIDDLE, answer(), []) == "ask"


def test_the_first_rule_that_fits_decides() -> None:
    rules = [
        Rule("review", (("channel", "chat"), ("tier", "plus"))),
        Rule("testimonial", (("channel", "chat"),)),
        Rule("referral"),
    ]
    plus = Customer(tier="Plus")
    for fields, asked in (
        ({"channel": "CHAT", "customer": plus}, "review"),
        ({"channel": "chat"}, "testimonial"),
        ({"customer": plus}, "referral"),
    ):
        assert action(SCALE, BEST, answer(**fields), rules) == asked


def test_an_open_question_only_without_a_comment_in_the_language_of_the_response() -> None:
    questions = OPEN_QUESTIONS | {"de": "Warum?", "nl": "Waarom?"}
    assert open_question(answer(comment="slow"), questions) is None
    for language in (None, "fr", "en-GB"):
        assert open_question(answer(language=language, comment=""), questions) == OPEN_QUESTIONS["en"]
    assert open_question(answer(language="NL-be"), questions) == "Waarom?"
    assert open_question(answer(language="de"), questions) == "Warum?"
