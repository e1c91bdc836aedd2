"""From bytes to a response: what is refused, what is forgiven, and that both ways of reading agree."""

import gzip
import json
import zlib
from typing import Any, NoReturn, get_args

import msgspec
import pytest
from hypothesis import given, settings

from npsflow.agents.demo import oracle
from npsflow.schemas import codec
from npsflow.schemas.errors import Reason, RefusedRecord
from npsflow.schemas.response import Deletion, Response
from npsflow.streams.classify.parsing import Read, read, read_tombstone
from npsflow.streams.scoring.scores import Scales, scale_of
from tests.strategies import NOW, anything, encoded, lenient, well_formed
from tests.support.responses import deletion, response

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
        (b"\xef\xbb\xbf", "not_json"),
        (b"\xef\xbb\xbf{", "not_json"),
        (text(response()) + b"{}", "not_json"),
        (with_raw("unknown", b"nan"), "not_json"),
        (with_raw("unknown", b"+Infinity"), "not_json"),
        (b"NaN" * 1000, "not_json"),
        (b'{"a":NaN,"b":' + DEEP + b"}", "too_deep"),
        (gzip.compress(text(response())), "compressed"),
        (zlib.compress(text(response())), "compressed"),
        (b"\x28\xb5\x2f\xfd\x20\x05", "compressed"),
        (b"\0\0\0\0\x07" + text(response()), "schema_prefix"),
        (b"\0\0\0\0\x07\x06r-1\x08shop\xff", "schema_prefix"),
        (b"\x01" + b"\x9d" * 16 + b"\x06r-1", "schema_prefix"),
        (b"\x03\0" + b"\x9d" * 16 + text(response()), "schema_prefix"),
        (b"\x06r-1\x08shop", "binary"),
        (b"\x0a\x03r-1\x12\x04shop", "binary"),
        (b"\xc3\x01" + b"\x9d" * 8 + b"\x06r-1", "binary"),
        (b"Obj\x01\x04\x14avro.codec", "binary"),
        (json.dumps(response()).encode("utf-16"), "not_utf8"),
        (json.dumps(response()).encode("utf-16-le"), "not_utf8"),
        (json.dumps(response()).encode("utf-16-be"), "not_utf8"),
        (text(response("1")) + b"\n" + text(response("2")) + b"\n", "several_responses"),
        (text(response("1")) + b"\r\n\r\n" + text(response("2")), "several_responses"),
        (text(response()) + b"\nhello", "not_json"),
        (b"[" + text(response()) + b"]", "several_responses"),
        (b"[[" + text(response()) + b"]]", "not_object"),
        (json.dumps(json.dumps(response())).encode(), "double_encoded"),
        (b'"nps"', "not_object"),
        (b'"[1]"', "not_object"),
        (text({"schema": {"type": "struct"}, "payload": response()}), "envelope"),
        (text({"schema": None, "payload": response()}), "envelope"),
        (text({"specversion": "1.0", "id": "1", "source": "/shop", "type": "x", "data": response()}), "envelope"),
        (text({"before": None, "after": response(), "op": "c", "source": {"db": "x"}}), "envelope"),
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
        (text(response(metric="csat", scale={"min": 1.0, "max": 10.0}, score=4)), "unknown_scale"),
        (text(response(scale="0-10", score=True)), "invalid_scale"),
        (text(response(scale=[0, 10])), "invalid_scale"),
        (text(response(scale={})), "invalid_scale"),
        (text(response(scale=False)), "invalid_scale"),
        (text(response(scale={"max": 10})), "invalid_scale"),
        (text(response(scale={"min": "0", "max": "10"})), "invalid_scale"),
        (text(response(scale={"min": 0, "max": 10.5})), "invalid_scale"),
        (text(response(scale={"min": False, "max": 10})), "invalid_scale"),
        (text(response(scale={"min": 0, "max": None})), "invalid_scale"),
        (with_raw("scale", b'{"min":0,"max":Infinity}'), "invalid_scale"),
        (text(response(scale={"min": 0, "max": 7})), "unknown_scale"),
        (text(response(score=True, submitted_at="soon")), "invalid_score"),
        (text(response(score=9.5)), "invalid_score"),
        (text(response(score=-0.1)), "invalid_score"),
        (with_raw("score", b"NaN"), "invalid_score"),
        (with_raw("score", b"1e999"), "invalid_score"),
        (text(response(score=10.5)), "invalid_score"),
        (text(response(score=11.0)), "score_out_of_range"),
        (with_raw("survey_id", b"NaN"), "invalid_identifier"),
        (with_raw("submitted_at", b"Infinity"), "invalid_time"),
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
        (text(response(submitted_at="2026-03-01T15:00")), "invalid_time"),
        (text(response(submitted_at="2026-03-01T15:00[UTC]")), "invalid_time"),
        (text(response(submitted_at="2026-03-01T15:00+01:00 [Europe/Amsterdam]")), "invalid_time"),
        (text(response(submitted_at=1_772_377_200)), "invalid_time"),
    ],
)
def test_reasons_and_their_order(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


def reasons() -> list[tuple[bytes | None, str]]:
    (mark,) = (mark for mark in test_reasons_and_their_order.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    return list(mark.args[1])


def test_the_oracle_gives_the_same_reasons() -> None:
    for value, expected in reasons():
        if value is None or b'"max": 100}' not in value:  # it knows no settings
            record = oracle.Record(0, 0, NOW, b"s/1", value)
            assert oracle.expect([record], partitions=1).dead == {expected: {(0, 0)}}, value


def test_every_reason_of_reading_is_tested() -> None:
    assert {expected for _, expected in reasons()} == set(get_args(Reason)) - {
        "too_late",
        "in_the_future",
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
        ({"updated_at": "0001-01-01T00:00:00Z"}, {}, ("updated_at",)),
        ({"updated_at": "1970-01-01T00:00:00+00:00"}, {}, ("updated_at",)),
        ({"updated_at": "2026-03-01T15:02Z"}, {"updated_at": "2026-03-01T15:02:00Z"}, ()),
        ({"updated_at": "2026-03-01T15:02+01:00[Europe/Amsterdam]"}, {"updated_at": "2026-03-01T15:02:00+01:00"}, ()),
        ({"submitted_at": "2026-03-01 15:02:03.5Z[UTC]"}, {"submitted_at": "2026-03-01T15:02:03.500000Z"}, ()),
        ({"survey_kind": "weekly"}, {}, ("survey_kind",)),
        ({"test": "yes", "internal": 1}, {}, ("test", "internal")),
        ({"contact_requested": "yes"}, {}, ("contact_requested",)),
        ({"scale": None}, {}, ()),
        ({"scale": {"min": 0, "max": 10, "step": 1}}, {"scale": {"min": 0, "max": 10}}, ()),
        ({"scale": {"min": 0.0, "max": 1e1}}, {"scale": {"min": 0, "max": 10}}, ()),
        ({"answers": [{"score": 4.0}, {"score": -0.0}]}, {"answers": [{"score": 4}, {"score": 0}]}, ()),
        ({"answers": [{"score": 7.5}, {"score": 1e22}]}, {"answers": [{"score": 7.5}, {"score": 1e22}]}, ()),
        ({"customer": {"value": 100.0}}, {"customer": {"value": 100.0}}, ()),
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
    assert json.dumps(found, sort_keys=True) == json.dumps(kept, sort_keys=True)  # 1, 1.0 and true are equal
    assert sorted(named) == sorted(warnings)


@pytest.mark.parametrize(
    ("name", "raw", "kept", "warning"),
    [
        ("attributes", b'{"age":NaN,"plan":"gold"}', {"attributes": {"plan": "gold"}}, "attributes"),
        ("customer", b'{"value":Infinity,"id":"C-77"}', {"customer": {"id": "C-77"}}, "customer.value"),
        ("customer", b'{"value":1e999}', {"customer": {}}, "customer.value"),
        ("answers", b'[{"score":NaN,"text":"t"}]', {"answers": [{"text": "t"}]}, "answers.score"),
        ("answers", b"[NaN]", {"answers": []}, "answers"),
        ("comment", b"-Infinity", {}, "comment"),
        ("deleted", b"NaN", {}, "deleted"),
        ("updated_at", b"NaN", {}, "updated_at"),
        ("survey_kind", b"NaN", {}, "survey_kind"),
        ("comment", b'"NaN is no number"', {"comment": "NaN is no number"}, None),
        ("unknown", b"NaN", {}, None),
    ],
)
def test_a_number_that_is_none_costs_its_field(
    name: str, raw: bytes, kept: dict[str, Any], warning: str | None
) -> None:
    what, _, warnings = read(with_raw(name, raw), SCALES)
    found = json.loads(codec.encode(what))
    assert {name: value for name, value in found.items() if response().get(name) != value} == kept
    assert warnings == (() if warning is None else (warning,))


def test_numbers_that_are_none_and_halves_of_characters_at_once() -> None:
    what, _, warnings = read(with_raw("comment", rb'"good \ud83d","attributes":{"age":NaN}'), SCALES)
    assert isinstance(what, Response)
    assert (what.comment, what.attributes) == ("good \ufffd", {})
    assert sorted(warnings) == ["attributes", "lone_surrogate"]


def test_a_refused_score_names_what_it_is() -> None:
    for raw, kind in (
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"9.5", "a float"),
        (b'"9"', "a str"),
        (b'" nan "', "nan"),
        (b'"nano"', "a str"),
    ):
        with pytest.raises(RefusedRecord, match=f"^score is {kind}, not an integer$"):
            read(with_raw("score", raw), SCALES)


def test_a_whole_float_is_an_integer() -> None:
    for score in (b"9.0", b"9e0", b"90e-1", b"9.000"):
        what, _, warnings = read(with_raw("score", score), SCALES)
        assert isinstance(what, Response)
        assert (repr(what.score), warnings) == ("9", ())


def test_a_mark_before_the_json_is_passed_over() -> None:
    what, scale, warnings = read(b"\xef\xbb\xbf" + text(response(comment="é")), SCALES)
    assert (what, scale) == read(text(response(comment="é")), SCALES)[:2]
    assert warnings == ("byte_order_mark",)


def test_fields_named_like_an_envelope_are_fields() -> None:
    fields = response(schema="x", payload={}, op="c", after=1, specversion="1.0", data=2)
    assert read(text(fields), SCALES) == read(text(response()), SCALES)


@pytest.mark.parametrize(
    ("key", "deletion"),
    [
        (b"shop/r-1", ("shop", "r-1")),
        (b"shop/a/b", ("shop", "a/b")),
        ("shop/é".encode(), ("shop", "é")),
        (None, None),
        (b"", None),
        (b"shop", None),
        (b"shop/", None),
        (b"/r-1", None),
        (b"shop/\xff", None),
        (b"s" * 257 + b"/1", None),
        (b"s/" + b"1" * 257, None),
    ],
)
def test_a_tombstone_deletes_what_its_key_names(key: bytes | None, deletion: tuple[str, str] | None) -> None:
    if deletion is not None:
        source, response_id = deletion
        assert read_tombstone(key) == (Deletion(response_id=response_id, source=source), None, ())
    else:
        with pytest.raises(RefusedRecord) as refused:
            read_tombstone(key)
        assert refused.value.reason == "null_value"


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
