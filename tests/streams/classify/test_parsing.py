"""From bytes to a response: what is refused, what is forgiven, and that both ways of reading agree."""

import json
from typing import Any, NoReturn, get_args

import msgspec
import pytest
from hypothesis import given, settings

from npsflow.schemas import codec
from npsflow.schemas.errors import Reason, RefusedRecord
from npsflow.schemas.response import Deletion, Response
from npsflow.streams.classify.parsing import Read, read
from npsflow.streams.scoring.scores import Scales, scale_of
from tests.strategies import anything, encoded, lenient, well_formed
from tests.streams.recovery.oracle_cases import deletion
from tests.support.responses import response

SCALES = Scales([scale_of("nps", 0, 100, range(0, 61), range(61, 81))])
DEEP = b"[" * 10_000 + b"]" * 10_000


def refuse(value: bytes) -> NoReturn:
    raise msgspec.ValidationError


def leniently(value: bytes) -> Read:
    """What is read where the fast path likes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "decode_response", refuse)
        return read(value, SCALES)


def text(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def with_raw(name: str, raw: bytes) -> bytes:
    """A good response with one more field, written as given."""
    return text(response())[:-1] + b',"' + name.encode() + b'":' + raw + b"}"


def reason(value: bytes | None) -> str:
    with pytest.raises(RefusedRecord) as refused:
        read(value, SCALES)
    return refused.value.reason


def both(**odd: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is kept of a response with these fields beyond the required ones, and the warnings."""
    what, _, warnings = read(text(response(**odd)), SCALES)
    kept = json.loads(codec.encode(what))
    return {name: value for name, value in kept.items() if response().get(name) != value}, warnings


# Both ways


@settings(max_examples=100)
@given(encoded(well_formed()))
def test_what_fits_the_schema_is_read_alike_both_ways_and_without_warnings(value: bytes) -> None:
    fast, slow = read(value, SCALES), leniently(value)
    assert fast == slow
    assert codec.encode(fast[0]) == codec.encode(slow[0])  # 1, 1.0 and true are equal, but not the same
    assert fast[2] == ()


@settings(max_examples=100)
@given(encoded(lenient()))
def test_what_is_odd_is_never_refused_and_read_alike_both_ways(value: bytes) -> None:
    assert read(value, SCALES) == leniently(value)


@settings(max_examples=200)
@given(anything)
def test_nothing_but_a_refusal_escapes(value: bytes | None) -> None:
    try:
        content, scale, _ = read(value, SCALES)
    except RefusedRecord as error:
        refused: RefusedRecord | None = error
    else:
        refused = None
        assert isinstance(content, Deletion if scale is None else Response)
    assert refused is None or refused.reason in get_args(Reason)


# Refused


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null_value"),
        (b"", "null_value"),
        (b'{"source":"\xff"}', "not_utf8"),
        (b"\xed\xa0\xbd", "not_utf8"),
        (DEEP, "too_deep"),
        (b'{"a":' * 10_000, "too_deep"),
        (with_raw("unknown", DEEP), "too_deep"),
        (with_raw("answers", DEEP), "too_deep"),
        (b"{", "not_json"),
        (b" ", "not_json"),
        (b"\xef\xbb\xbf" + text(response()), "not_json"),
        (text(response()) + b"{}", "not_json"),
        (with_raw("unknown", b"NaN"), "not_json"),
        (with_raw("value", b"-Infinity"), "not_json"),
        (with_raw("unknown", b'"\x01"'), "not_json"),
        (b"[]", "not_object"),
        (b"null", "not_object"),
        (b"9", "not_object"),
        (b"{}", "missing_field"),
        (text(response(source=None)), "missing_field"),
        (text(response(response_id=None)), "missing_field"),
        (text(response(source="a/b", response_id=None)), "invalid_identifier"),
        (text(response(source="a/b")), "invalid_identifier"),
        (text(response(source="")), "invalid_identifier"),
        (text(response(source=["s"])), "invalid_identifier"),
        (text(response(response_id="x" * 257)), "invalid_identifier"),
        (text(response(response_id=12)), "invalid_identifier"),
        (text(deletion(source="a/b")), "invalid_identifier"),
        (b'{"source":"' + b"x" * (1 << 20) + b'"}', "too_large"),
        (text(response(survey_id="", score=None)), "missing_field"),
        (text(response(submitted_at=None, metric="no")), "missing_field"),
        (text(response(survey_id="")), "invalid_identifier"),
        (text(response(survey_id="x" * 257, metric="no")), "invalid_identifier"),
        (text(response(metric="no", score="2")), "unknown_metric"),
        (text(response(metric=["nps"])), "unknown_metric"),
        (text(response(metric="csat", scale={"min": 0, "max": 10}, score=True)), "unknown_scale"),
        (text(response(scale={"min": 0, "max": 7})), "unknown_scale"),
        (text(response(score=True, submitted_at="soon")), "invalid_score"),
        (text(response(score=9.0)), "invalid_score"),
        (text(response(score="9")), "invalid_score"),
        (text(response(score=[9])), "invalid_score"),
        (text(response(score=11, submitted_at="soon")), "score_out_of_range"),
        (text(response(score=-1)), "score_out_of_range"),
        (text(response(score=10**30)), "score_out_of_range"),
        (text(response(metric="csat", score=0)), "score_out_of_range"),
        (text(response(metric="ces", score=8)), "score_out_of_range"),
        (text(response(scale={"min": 0, "max": 100}, score=101)), "score_out_of_range"),
        (text(response(submitted_at="2026-03-01T15:00:00")), "invalid_time"),
        (text(response(submitted_at="2026-02-30T15:00:00Z")), "invalid_time"),
        (text(response(submitted_at="2026-03-01")), "invalid_time"),
        (text(response(submitted_at=1_772_377_200)), "invalid_time"),
    ],
)
def test_reasons_and_their_order(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


def test_every_reason_of_reading_is_tested() -> None:
    (mark,) = (mark for mark in test_reasons_and_their_order.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {expected for _, expected in mark.args[1]} == set(get_args(Reason)) - {
        "too_late",
        "internal_error",
        "unmapped",
        "invalid_action",
        "unfetched",
    }


def test_a_refusal_names_the_platform_once_it_is_known() -> None:
    for value, source in (
        (b"{", None),
        (b'{"source":""}', None),
        (b'{"source":"s"}', "s"),
        (text(response(score=11)), "s"),
    ):
        with pytest.raises(RefusedRecord) as refused:
            read(value, SCALES)
        assert refused.value.source == source


# Forgiven


@pytest.mark.parametrize(
    ("odd", "kept", "warnings"),
    [
        ({"colour": "blue"}, {}, ()),
        ({"comment": None, "customer": None, "deleted": None}, {}, ()),
        ({"deleted": False}, {"deleted": False}, ()),
        ({"deleted": "true"}, {}, ("deleted",)),
        ({"deleted": 1}, {}, ("deleted",)),
        ({"channel": 7}, {}, ("channel",)),
        ({"channel": "x" * 129}, {"channel": "x" * 128}, ("channel",)),
        ({"comment": ["slow"]}, {}, ("comment",)),
        ({"comment": "a" + "é" * 8_192}, {"comment": "a" + "é" * 8_191}, ("comment",)),
        ({"question": "x" * 20_000}, {"question": "x" * 16_384}, ("question",)),
        ({"updated_at": "soon"}, {}, ("updated_at",)),
        ({"survey_kind": "weekly"}, {}, ("survey_kind",)),
        ({"test": "yes", "internal": 1}, {}, ("test", "internal")),
        ({"contact_requested": "yes"}, {}, ("contact_requested",)),
        ({"scale": {"min": 0}}, {}, ("scale",)),
        ({"scale": {"min": "0", "max": "10"}}, {}, ("scale",)),
        ({"scale": {"min": 0, "max": 10, "step": 1}}, {"scale": {"min": 0, "max": 10}}, ()),
        ({"invitation_id": ""}, {}, ("invitation_id",)),
        ({"invitation_id": "x" * 257}, {}, ("invitation_id",)),
        ({"customer": "C-1"}, {}, ("customer",)),
        ({"customer": {"id": "", "tier": "plus", "age": 7}}, {"customer": {"tier": "plus"}}, ("customer.id",)),
        ({"customer": {"tier": "x" * 129}}, {"customer": {"tier": "x" * 128}}, ("customer.tier",)),
        ({"customer": {"value": True, "id": 1}}, {"customer": {}}, ("customer.id", "customer.value")),
        ({"customer": {"contact_allowed": "no"}}, {"customer": {}}, ("customer.contact_allowed",)),
        ({"reference": {"type": "ticket", "id": 5}}, {"reference": {"type": "ticket"}}, ("reference.id",)),
        ({"answers": {"score": 3}}, {}, ("answers",)),
        ({"answers": [{"score": 3}, 7]}, {"answers": [{"score": 3}]}, ("answers",)),
        ({"answers": [{"score": "3", "text": "t", "x": 1}]}, {"answers": [{"text": "t"}]}, ("answers.score",)),
        ({"attributes": [1]}, {}, ("attributes",)),
        ({"attributes": {"a": 1, "b": None, "c": [1]}}, {"attributes": {"a": 1}}, ("attributes",)),
        ({"attributes": {"k" * 129: 1}}, {"attributes": {"k" * 128: 1}}, ("attributes",)),
        (
            {"attributes": {str(n): n for n in range(21)}},
            {"attributes": {str(n): n for n in range(20)}},
            ("attributes",),
        ),
        ({"customer": {"value": 10**30}}, {"customer": {"value": 10**30}}, ()),
    ],
)  # fmt: skip
def test_leniency(odd: dict[str, Any], kept: dict[str, Any], warnings: tuple[str, ...]) -> None:
    found, named = both(**odd)
    assert found == kept
    assert sorted(named) == sorted(warnings)


def test_the_last_of_duplicate_keys_stands_both_ways() -> None:
    value = b'{"score":99,"channel":5,' + text(response(channel="chat"))[1:]
    for what, _, warnings in (read(value, SCALES), leniently(value)):
        assert isinstance(what, Response)
        assert (what.score, what.channel, warnings) == (2, "chat", ())


def test_a_deletion_needs_its_identity_alone() -> None:
    assert read(text(deletion(score="no", metric=7)), SCALES) == (Deletion("1", "s"), None, ())
    what, _, _ = read(text(response(deleted=True, updated_at="2026-03-01T15:00:00+01:00")), SCALES)
    assert isinstance(what, Deletion)
    assert what.updated_at is not None


def test_a_scale_from_the_settings_has_its_thresholds() -> None:
    _, scale, _ = read(text(response(score=70, scale={"min": 0, "max": 100})), SCALES)
    assert scale is not None
    assert scale.name == "0-100"
    _, scale, _ = read(text(response()), SCALES)
    assert scale is not None
    assert scale.name == "0-10"


@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00", r"\uD83D\uD83D", r"\ude00\ud83d", r"\ud83d\n"])
def test_half_of_an_emoji_does_not_cost_the_record(half: str) -> None:
    value = with_raw("comment", f'"good {half}"'.encode())
    what, _, warnings = read(value, SCALES)
    assert isinstance(what, Response)
    assert what.comment is not None
    assert what.comment.startswith("good \ufffd")
    assert warnings == ("lone_surrogate",)


def test_half_of_an_emoji_costs_a_record_whose_identity_it_is_in() -> None:
    assert reason(text(response(response_id="1\ud83d"))) == "invalid_identifier"


def test_whole_emoji_and_escaped_backslashes_stay() -> None:
    what, _, warnings = read(with_raw("comment", rb'"\ud83d\ude00 \\ud83d"'), SCALES)
    assert isinstance(what, Response)
    assert (what.comment, warnings) == ("\U0001f600 \\ud83d", ())
