"""The sample is deterministic, holds what it promises, and survives the way through JSON Lines."""

import base64
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from npsflow.agents.demo import sample

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
COUNT = 20_000
REASONS = {
    "null_value",
    "not_utf8",
    "too_deep",
    "not_json",
    "not_object",
    "missing_field",
    "invalid_identifier",
    "unknown_metric",
    "unknown_scale",
    "invalid_score",
    "score_out_of_range",
    "invalid_time",
}


@pytest.fixture(scope="module")
def lines() -> list[sample.Line]:
    return list(sample.sample(7, COUNT, END))


def test_same_arguments_give_the_same_lines(lines: list[sample.Line]) -> None:
    assert lines[:5_000] == list(islice(sample.sample(7, COUNT, END), 5_000))
    assert lines[:1_000] != list(islice(sample.sample(8, COUNT, END), 1_000))


def test_gives_as_many_lines_as_asked() -> None:
    assert [len(list(sample.sample(1, count, END))) for count in (0, 1, 100)] == [0, 1, 100]


def test_proportions_hold(lines: list[sample.Line]) -> None:
    kinds = Counter(line.kind for line in lines)
    corrections = sum(kinds[kind] for kind in kinds if kind.startswith(("correction_", "customer_")))
    bad = sum(kinds[kind] for kind in kinds if kind.startswith("bad:"))
    assert kinds["repeat"] / COUNT == pytest.approx(0.03, rel=0.15)
    assert corrections / COUNT == pytest.approx(0.02, rel=0.15)
    assert bad / COUNT == pytest.approx(0.01, rel=0.15)


def test_plants_every_kind(lines: list[sample.Line]) -> None:
    kinds = {line.kind for line in lines}
    assert {kind.removeprefix("bad:") for kind in kinds if kind.startswith("bad:")} == REASONS
    assert {kind for kind in kinds if not kind.startswith("bad:")} == {
        "response",
        "repeat",
        "correction_score",
        "correction_comment",
        "correction_test",
        "customer_appears",
        "customer_goes",
        "comment_later",
        "deletion",
        "deletion_unknown",
        "restored",
        "superseded",
        "wrong_key",
        "late",
        "test",
        "internal",
        "future",
        "lenient",
    }


def test_responses_cover_metrics_languages_and_sources(lines: list[sample.Line]) -> None:
    responses = [json.loads(line.value or b"") for line in lines if line.kind == "response"]
    assert Counter(fields["metric"] for fields in responses).most_common(1)[0][0] == "nps"
    assert {fields["metric"] for fields in responses} == {"nps", "enps", "csat", "csat_overall", "ces"}
    assert {fields["language"] for fields in responses} == {"en", "nl"}
    assert {fields["survey_kind"] for fields in responses} == {"relationship", "transactional"}
    assert {fields["source"] for fields in responses} == {"typeform", "surveymonkey", "zendesk", "formbricks"}
    assert any("customer" not in fields for fields in responses)


def test_events_are_nearly_in_order_within_the_month(lines: list[sample.Line]) -> None:
    times = [
        datetime.fromisoformat(json.loads(line.value or b"")["submitted_at"])
        for line in lines
        if line.kind == "response"
    ]
    newest = times[0]
    for time in times:
        assert END - timedelta(days=30, minutes=10) < time <= END
        assert newest - time < timedelta(minutes=10)
        newest = max(newest, time)
    assert END - newest < timedelta(minutes=10)


def test_a_wrong_key_has_the_only_version_of_its_response(lines: list[sample.Line]) -> None:
    others = {line.key for line in lines if line.kind != "wrong_key"}
    wrong = [line for line in lines if line.kind == "wrong_key"]
    assert {line.key is None for line in wrong} == {True, False}
    for line in wrong:
        fields = json.loads(line.value or b"")
        key = f"{fields['source']}/{fields['response_id']}".encode()
        assert line.key != key
        assert key not in others


def test_some_repeats_are_identical_and_some_only_equal(lines: list[sample.Line]) -> None:
    seen: set[bytes | None] = set()
    identical = Counter[bool]()
    for line in lines:
        if line.kind == "repeat":
            identical[line.value in seen] += 1
        seen.add(line.value)
    assert identical[True] > identical[False] > 0


def test_a_submitted_at_in_the_future_only_when_live(lines: list[sample.Line]) -> None:
    def ahead(lines: Iterable[sample.Line]) -> bool:
        return any(b'"submitted_at":"2099' in (line.value or b"") for line in lines)

    assert not ahead(lines)
    assert ahead(sample.sample(7, COUNT, END, live=True))


def test_late_lines_wait_until_each_partition_has_seen_time() -> None:
    lines = list(sample.sample(7, 5_000, END, partitions=50))
    assert "late" in {line.kind for line in lines[3_200:]}
    assert "late" not in {line.kind for line in lines[:3_200]}


def test_json_lines_keep_key_and_value(lines: list[sample.Line]) -> None:
    plain = 0
    for line in lines:
        text = sample.line_to_json(line)
        assert b"\n" not in text
        fields = json.loads(text)
        if "value_base64" in fields:
            key = None if fields["key"] is None else fields["key"].encode()
            value = None if fields["value_base64"] is None else base64.b64decode(fields["value_base64"])
        else:
            plain += 1
            key, value = f"{fields['source']}/{fields['response_id']}".encode(), text
        assert (key, value) == (line.key, line.value)
    assert plain > 0.9 * COUNT


@pytest.mark.parametrize(
    "value",
    [
        b'{"source":"s","response_id":"1","score":NaN}',
        b'{"source":"s","response_id":"1"',
        b'["s","1"]',
        b'{"source":"s"}',
        b'{"source":"s","response_id":1}',
        b'{"source":"s",\n"response_id":"1"}',
        b"\xff",
        b"[" * 10_000,
        b"",
        None,
    ],
)
def test_what_is_no_plain_response_is_written_as_bytes(value: bytes | None) -> None:
    assert b"value_base64" in sample.line_to_json(sample.Line(b"s/1", value, "any"))
