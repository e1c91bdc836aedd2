"""What a dead letter becomes when it is sent once more, and how a line of mended values is read."""

import json
from typing import Any

import pytest

from npsflow.agents.operations.replay import LineRefused, ReplayCheck, read_mended
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.fetch import Fetch, decode_fetch
from npsflow.schemas.times import DAY, rfc3339
from npsflow.streams.config.settings import parse
from tests.agents.platforms.conformance import FIXTURES
from tests.support.responses import response

from .letters import letter

NOW = 1_790_000_000_000
SCALES = '[[scales]]\nmetric = "csat"\nmin = 1\nmax = 3\nworst = [1]\n'
WOOTRIC = FIXTURES / "wootric"
WITH_ENTRANCE = """
[intake.shop]
platform = "wootric"
scores = [{ question = "response.score", metric = "nps" }]
survey_id = "in-app"
"""


def check(settings: str = "") -> ReplayCheck:
    return ReplayCheck(parse(settings), {}, NOW)


def body(**fields: Any) -> bytes:
    return json.dumps(response("r-1", **{"source": "shop", "submitted_at": rfc3339(NOW)} | fields)).encode()


def refusal(replay: ReplayCheck, *args: Any) -> str:
    with pytest.raises(RefusedRecord) as raised:
        replay.records(*args)
    return raised.value.reason


def test_a_response_goes_as_it_was_once_it_is_accepted() -> None:
    value = body(metric="csat", score=3, scale={"min": 1, "max": 3})
    refused = letter(reason="unknown_scale", key=b"any", value=value, headers=[("trace", b"1")])
    assert refusal(check(), refused) == "unknown_scale"
    (record,) = check(SCALES).records(refused)
    assert record == ("survey-responses", b"any", value, [("trace", b"1")])


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff", body(score=11), body(score=None)])
def test_what_would_be_refused_again_is_not_sent(value: bytes | None) -> None:
    with pytest.raises(RefusedRecord):
        check().records(letter(reason="internal_error", value=value))


def test_a_late_response_goes_once_it_is_within_the_horizon() -> None:
    late = letter(reason="too_late", value=body(submitted_at=rfc3339(NOW - 40 * DAY)))
    assert refusal(check(), late) == "too_late"
    assert check("horizon_days = 41").records(late)
    assert check().records(letter(reason="not_json"), late.record.value), "workers alone know their time"


def test_a_mended_response_takes_the_key_of_its_own() -> None:
    (record,) = check().records(letter(key=None, value=b"{", headers=[("trace", b"1")]), body())
    assert record == ("survey-responses", b"shop/r-1", body(), [("trace", b"1")])
    assert refusal(check(), letter(value=b"{"), body(score=99)) == "score_out_of_range"


def test_an_action_is_read_as_recover_does() -> None:
    value = b'{"action_id": "do-1", "action": "contact", "by": "anna", "case_id": "c-1"}'
    refused = letter(topic="recovery-actions", reason="invalid_action", key=b"C-77", value=b'{"action": "contact"}')
    assert refusal(check(), refused) == "invalid_action"
    assert check().records(refused, value) == [("recovery-actions", b"C-77", value, [])]


def test_a_fetch_begins_anew() -> None:
    value = b'{"entrance": "sm", "event_id": "e", "ids": {}, "asked_at": 1, "attempts": 9, "not_before": 5}'
    (record,) = check().records(letter(topic="survey-fetches", reason="unfetched", key=b"sm/e", value=value))
    assert (record.topic, record.key) == ("survey-fetches", b"sm/e")
    assert decode_fetch(record.value or b"") == Fetch("sm", "e", {}, 1)
    assert refusal(check(), letter(topic="survey-fetches", reason="unfetched", value=b"{}")) == "unfetched"


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("encoded.txt", [("content-type", b"application/x-www-form-urlencoded; charset=utf-8")]),
        ("encoded.txt", []),
        ("good.json", []),
        ("good.json", [("content-type", b"application/json")]),
    ],
)
def test_a_webhook_becomes_what_its_form_means_now(name: str, headers: Any) -> None:
    value = (WOOTRIC / name).read_bytes()
    kept = letter(topic="intake/shop", reason="unmapped", key=None, value=value, headers=headers)
    assert refusal(check(), kept) == "unmapped"
    records = check(WITH_ENTRANCE).records(kept)
    assert [(record.topic, (record.key or b"")[:8]) for record in records] == [("survey-responses", b"wootric/")]


@pytest.mark.parametrize("mended", [None, b'{"id": 1, "form": "f", "score": 4}'])
def test_a_body_without_a_time_is_of_when_it_arrived_and_not_of_its_replay(mended: bytes | None) -> None:
    settings = '[intake.shop]\nplatform = "generic"\ntime_of_arrival = true\npaths = { response_id = "id" }\n'
    score = 'scores = [{ question = "score", metric = "nps" }]\n'
    value, arrived = b'{"id": 1, "form": "f", "score": 3}', NOW - 3 * DAY
    kept = letter(topic="intake/shop", reason="unmapped", key=None, value=value, written=arrived)
    assert refusal(check(settings), kept) == "unmapped"
    (record,) = check(settings + score).records(kept, mended)
    assert json.loads(record.value or b"")["submitted_at"] == rfc3339(arrived)


def test_a_mended_webhook_is_of_the_type_of_its_new_body() -> None:
    form = [("content-type", b"application/x-www-form-urlencoded")]
    kept = letter(topic="intake/shop", reason="unmapped", key=None, value=b"a=1", headers=form)
    replay = check(WITH_ENTRANCE)
    assert refusal(replay, kept) == "unmapped"
    assert replay.records(kept, (WOOTRIC / "good.json").read_bytes())
    assert replay.records(kept, (WOOTRIC / "encoded.txt").read_bytes())


def test_lines_of_mended_values() -> None:
    by_id = read_mended(1, b'{"id": "0-7", "value": {"score": 9}, "state": "open"}\n')
    assert (by_id.letter, by_id.response, by_id.value) == ("0-7", None, b'{"score":9}')
    assert read_mended(2, b'{"id": "0-7", "value": "score=9&id=1"}').value == b"score=9&id=1"
    whole = read_mended(3, body() + b"\n")
    assert (whole.letter, whole.response, whole.value) == (None, ("shop", "r-1"), body())
    assert read_mended(4, body(id="of its own", value=1)).response == ("shop", "r-1")


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"7", b"{}", b'{"id": "0-7"}', b'{"id": 7, "value": {}}', b'{"source": "a"}']
)
def test_a_line_that_names_no_letter_is_refused(line: bytes) -> None:
    with pytest.raises(LineRefused):
        read_mended(1, line)


def test_a_tombstone_goes_once_it_is_a_deletion() -> None:
    tombstone = letter(reason="null_value", key=b"shop/r-1", value=None)
    assert refusal(check(), tombstone) == "null_value"
    deletes = check("[topics]\ntombstones_delete = true\n")
    assert deletes.records(tombstone) == [("survey-responses", b"shop/r-1", None, [])]
    assert refusal(deletes, letter(reason="null_value", key=b"any", value=None)) == "null_value"
