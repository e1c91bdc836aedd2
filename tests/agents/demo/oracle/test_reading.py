"""The oracle reads single records: dead letters, leniency, the key."""

import json
from typing import Any

import pytest

from npsflow.agents.demo import oracle
from tests.agents.demo.oracle.cases import NOW, expect, overall
from tests.support.responses import response


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null_value"),
        (b"", "null_value"),
        (b'{"source":"\xff"}', "not_utf8"),
        (b"[" * 10_000, "too_deep"),
        (b"{", "not_json"),
        (b'{"source":NaN}', "invalid_identifier"),
        (b'{"source":"s","response_id":nan}', "not_json"),
        (b"\0\0\0\0\x07{}", "schema_prefix"),
        (b"\x1f\x8b" + b"\x08" * 20, "compressed"),
        (b"\x06r-1", "binary"),
        (b"{}\n{}", "several_responses"),
        (b"[{}]", "several_responses"),
        (b'"{}"', "double_encoded"),
        (b'{"schema":{},"payload":{}}', "envelope"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b"{}", "missing_field"),
        (response(source="a/b"), "invalid_identifier"),
        (response(response_id="x" * 257), "invalid_identifier"),
        (response(survey_id=""), "invalid_identifier"),
        (response(score=None, metric="other"), "missing_field"),
        (response(metric="other"), "unknown_metric"),
        (response(scale={"min": 0, "max": 5}), "unknown_scale"),
        (response(score=True), "invalid_score"),
        (response(score=9.5), "invalid_score"),
        (response(scale={"min": "0"}), "invalid_scale"),
        (response(scale="0-10"), "invalid_scale"),
        (response(score="9"), "invalid_score"),
        (response(score=11), "score_out_of_range"),
        (response(metric="csat", score=0), "score_out_of_range"),
        (response(submitted_at="2026-03-01T15:00:00"), "invalid_time"),
        (response(submitted_at="2026-13-01T15:00:00Z"), "invalid_time"),
        (response(submitted_at=5), "invalid_time"),
        (b'{"source":"' + b"x" * (1 << 20) + b'"}', "too_large"),
    ],
)
def test_reasons(value: dict[str, Any] | bytes | None, reason: str) -> None:
    assert expect(value).dead == {reason: {(0, 0)}}


@pytest.mark.parametrize(
    "odd",
    [
        {"comment": 5},
        {"customer": "C-1"},
        {"deleted": 1},
        {"test": "true"},
        {"scale": {"min": 0, "max": 10.0}},
        {"score": 3.0},
        {"attributes": {"age": float("nan")}},
        {"updated_at": "soon"},
        {"unknown": [1]},
    ],
)
def test_leniency(odd: dict[str, Any]) -> None:
    assert expect(response(**odd)).outcomes == {"counted": 1}


def test_brackets_in_strings_are_not_nesting() -> None:
    assert expect(response(comment="[" * 5_000)).outcomes == {"counted": 1}


def test_the_last_of_duplicate_keys_stands() -> None:
    value = json.dumps(response(score=10)).encode().replace(b'"score"', b'"score": 0, "score"')
    assert overall(expect(value))["promoters"] == 1


def test_a_time_ahead_becomes_the_append_time() -> None:
    assert overall(expect(response(submitted_at="2099-01-01T00:00:00Z")), "1h")["end"] == "2026-03-01T15:10:00Z"


def test_sent_again_it_is_a_repetition_although_its_time_was_ahead() -> None:
    ahead = response(submitted_at="2099-01-01T00:00:00Z")
    assert expect(ahead, ahead).outcomes == {"counted": 1, "repeated": 1}


def test_too_long_a_comment_is_cut_at_a_whole_character() -> None:
    long, cut = response(comment="a" + "é" * 9_000), response(comment="a" + "é" * 8_191)
    assert expect(long, cut).outcomes == {"counted": 1, "repeated": 1}


@pytest.mark.parametrize(
    "name",
    [
        *("language", "channel", "journey_stage", "touchpoint", "department", "team", "agent_id", "product"),
        *("survey_name", "survey_version", "customer.tier", "customer.renews_at", "reference.type", "answers.topic"),
        "attributes",
    ],
)
def test_too_long_a_text_is_cut(name: str) -> None:
    outer, _, inner = name.partition(".")

    def version(length: int) -> dict[str, Any]:
        text = "x" * length
        value: Any = {text: 1} if name == "attributes" else {inner: text} if inner else text
        fields: dict[str, Any] = {outer: [value] if outer == "answers" else value}
        return response(**fields)

    assert expect(version(129), version(128)).outcomes == {"counted": 1, "repeated": 1}
    assert expect(version(128), version(127)).outcomes == {"counted": 2}


def test_a_kind_of_survey_that_is_not_known_is_dropped() -> None:
    expected = expect(response(survey_kind="weekly"), response())
    assert expected.outcomes == {"counted": 1, "repeated": 1}
    assert not [key for key in expected.windows if "survey_kind" in dict(key[2])]
    known = expect(response(survey_kind="relationship"))
    assert ("nps", "0-10", (("survey_kind", "relationship"),), "30d") in known.windows


def test_a_mark_before_the_json_is_passed_over() -> None:
    assert expect(b"\xef\xbb\xbf" + json.dumps(response()).encode()).outcomes == {"counted": 1}


def test_a_wrong_key_is_forwarded_once_it_is_valid() -> None:
    value = json.dumps(response()).encode()
    assert expect(value, key=None).outcomes == {"forwarded": 1, "counted": 1}
    assert expect(value, key=b"C-1").forwarded == {(NOW, 0, 0)}
    assert expect(b"{}", key=b"C-1").outcomes == {"dead": 1}


@pytest.mark.parametrize(
    ("text", "hashed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_murmur2_is_that_of_kafka(text: bytes, hashed: int) -> None:
    assert oracle.murmur2(text) == hashed % 2**32
