"""What is particular to platforms whose answers are fetched, beside what every one has to do."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from npsflow.agents import platforms
from npsflow.agents.platforms import google_forms, qualtrics, surveymonkey
from npsflow.agents.platforms.protocol import Delivery, Forged, Malformed, Transient
from npsflow.schemas.response import Deletion
from npsflow.streams.classify.parsing import read
from npsflow.streams.scoring.scores import Scales

from .conformance import FIXTURES, NOW, CannedApi, Conformance
from .signing import SECRET, SIGN


def conformance(name: str) -> Conformance:
    return Conformance(FIXTURES / name, SIGN[name], signs_a_time=False)


def test_a_deleted_response_takes_all_its_scores_with_it_at_once() -> None:
    under = conformance("surveymonkey")
    gone = under.become((under.folder / "deleted.json").read_bytes())
    assert [one["response_id"] for one in gone] == ["5007154402:319352786", "5007154402:319352787"]
    for one in gone:
        deletion, _, warnings = read(json.dumps(one).encode(), Scales())
        assert isinstance(deletion, Deletion)
        assert (deletion.updated_at is not None, warnings) == (True, ())


@pytest.mark.parametrize("kind", ["collector_created", "response_disqualified", "response_overquota", "", None])
def test_other_events_of_surveymonkey_are_of_no_interest(kind: str | None) -> None:
    under = conformance("surveymonkey")
    assert under.become(json.dumps(json.loads(under.good) | {"event_type": kind}).encode()) == []


@pytest.mark.parametrize(
    ("change", "count"),
    [({"response_status": status}, count) for status, count in (("partial", 2), ("disqualified", 0), ("overquota", 0))],
)
def test_who_was_disqualified_gave_no_answer_that_counts(change: dict[str, Any], count: int) -> None:
    under = conformance("surveymonkey")
    under.answers = {path: answer | change for path, answer in under.answers.items()}
    assert len(under.become(under.good)) == count


def test_a_preview_is_a_test() -> None:
    under = conformance("surveymonkey")
    under.answers = {path: answer | {"collection_mode": "preview"} for path, answer in under.answers.items()}
    assert [response["test"] for response in under.become(under.good)] == [True, True]


def changed(body: bytes, **fields: str) -> bytes:
    return urlencode(dict(parse_qsl(body.decode())) | fields).encode()


def test_a_qualtrics_message_that_was_changed_is_forged() -> None:
    under = conformance("qualtrics")
    body = under.delivery(under.good).body
    message = dict(parse_qsl(body.decode()))["MSG"]
    for forged in (changed(body, MSG=message.replace("R_2e", "R_2f")), changed(body, HMAC=""), changed(body, HMAC="é")):
        with pytest.raises(Forged):
            under.endpoint.verify(Delivery({}, forged), NOW)
    with pytest.raises(Malformed):
        under.endpoint.verify(Delivery({}, b"&".join(b"a=%d" % number for number in range(50))), NOW)
    upper = changed(body, HMAC=dict(parse_qsl(body.decode()))["HMAC"].upper())
    under.endpoint.verify(Delivery({}, upper), NOW)


def test_other_topics_of_qualtrics_are_of_no_interest() -> None:
    under = conformance("qualtrics")
    body = changed(under.delivery(under.good).body, Topic="acme.controlpanel.activateSurvey")
    assert under.endpoint.records(Delivery({}, body), NOW) == []


def test_the_same_message_with_the_token_of_another_is_forged() -> None:
    under = conformance("google_forms")
    for query in ({}, {"token": ""}, {"token": "another"}, {"other": SECRET}):
        with pytest.raises(Forged):
            under.endpoint.verify(Delivery({}, under.good, query), NOW)


@pytest.mark.parametrize(
    ("published", "since"),
    [
        ("2026-03-01T00:00:00Z", "2026-02-28T23:00:00Z"),
        ("2026-03-01T15:59:59.123456789Z", "2026-03-01T14:00:00Z"),
        ("2026-03-01T15:10:00+01:00", "2026-03-01T13:00:00Z"),
        ("yesterday", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_submissions_since_the_hour_before_are_asked_for(published: str, since: str | None) -> None:
    under = conformance("google_forms")
    body = json.loads(under.good)
    body["message"]["publishTime"] = published
    delivery = under.delivery(json.dumps(body).encode())
    if since is None:
        with pytest.raises(Malformed):
            under.endpoint.records(delivery, NOW)
    else:
        (record,) = under.endpoint.records(delivery, NOW)
        assert json.loads(record.value or b"")["ids"]["since"] == since


def test_edits_of_a_form_are_of_no_interest() -> None:
    under = conformance("google_forms")
    assert under.become(under.good.replace(b'"RESPONSES"', b'"SCHEMA"')) == []


def test_pages_that_never_end_are_left() -> None:
    under = conformance("google_forms")
    (first, _) = under.answers
    answers = {first: under.answers[first], first + "&pageToken=CAUQAA": under.answers[first]}
    with pytest.raises(Transient):
        asyncio.run(
            google_forms.fetch(CannedApi(answers), {"form": first.split("/")[1], "since": "2026-03-01T14:00:00Z"})
        )


def test_each_has_its_documented_limit_and_address() -> None:
    found = {name: platforms.by_name(name).answers for name in ("google_forms", "qualtrics", "surveymonkey")}
    assert {name: (answers.base, answers.per_minute) for name, answers in found.items() if answers} == {
        "google_forms": ("https://forms.googleapis.com/v1", 180),
        "qualtrics": ("", 300),  # of the account's data centre
        "surveymonkey": ("https://api.surveymonkey.com/v3", 120),
    }
    assert qualtrics.token("t") == {"X-API-TOKEN": "t"}
    assert surveymonkey.used_up({}) == 0
