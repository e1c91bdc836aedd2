"""Records of bytes near valid ones: whatever comes, each has one outcome, nothing fails, and nothing grows."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from npsflow.schemas import codec, topics
from npsflow.schemas.headers import ORIGIN, Headers
from npsflow.schemas.topics import MAX_RECORD
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import Topics
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.counters import encode_counters
from npsflow.streams.stage import Output
from tests.strategies import NOW, mutated, own_key, random_bytes, times
from tests.streams.folding import Record, Task
from tests.support.fuzzing import fuzzed
from tests.support.responses import deletion, response

EXAMPLES = 150
STAGES = [
    Classify(Settings(idle_ticks=False, topics=made).classify_settings("npsflow/t.", 1))
    for made in (Topics(), Topics(tombstones_delete=True))
]
OF_EACH = 24_000
"""Bytes of events and counts of one record beside its own: the longest comment in JSON, and what is about it."""


def _is_json(value: bytes) -> bool:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


# A grammar of JSON that is nearly right.

_BLANKS = st.sampled_from([b"", b"", b"", b" ", b"\n\t", b"\r\n", b"\x00", b"\xc2\xa0", b"\xef\xbb\xbf", b"/**/"])
_NUMBERS = [b"-0", b"00", b"9.0", b"9.", b"1e1", b"1e999", b"-1E-999", b"0x9", b"+9", b"9" * 400, b"1.0000000000000001",
    b"NaN", b"-Infinity", b"18446744073709551616", b"1_0", b".5"]  # fmt: skip
_TEXTS = [b'""', b'" "', b'"\\ud800"',
    b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\q"', b'"a\nb"', b'"\xff"', b'"\xed\xa0\x80"',
    b'"\xf0\x9f\x98\x80"', b'"' + b"\xc3\xa9" * 20_000 + b'"', b'"' + b"x" * 300 + b'"', b'"unended', b"'a'", b'"a/b"',
    b'"a#b"', b'"\xe2\x80\xae"', b'"2026-03-01T15:00:00Z"', b'"2026-02-30T00:00:00Z"', b'"9999-12-31T23:59:60+14:00"',
    b'"0000-01-01T00:00:00Z"', b'"nps"', b'"npsflow.sealed:aaaaaaaaaaaaaaaa:AAAA"']  # fmt: skip
_OTHERS = [b"null", b"true", b"nul", b"True", b"{}", b"[]", b"[[]]", b"{]", b"[,]", b'{"a":{"a":{}}}', b"[" * 5_000,
    b'{"id":1}', b'{"min":0,"max":10}', b'{"min":-1e9,"max":1e999}', b"[" + b"{}," * 3_000 + b"{}]",
    b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(400)) + b"}"]  # fmt: skip
_odd_values = st.sampled_from([*_NUMBERS, *_TEXTS, *_OTHERS])
_json_values = st.sampled_from([value for value in (*_NUMBERS, *_TEXTS, *_OTHERS) if _is_json(value)])
_names = st.sampled_from(
    [*response(), "updated_at", "customer", "comment", "answers", "attributes", "scale", "deleted", "test", "internal",
     "channel", "department", "reference", "contact_requested", "survey_kind", "unheard_of", ""]
)  # fmt: skip
_raw_names = st.builds(lambda name: json.dumps(name).encode(), _names)
_odd_names = st.sampled_from([b'"\\u0073core"', b"score", b"1"])


@st.composite
def written(draw: st.DrawFn, *, broken: bool = False) -> bytes:
    """A response, written member by member: some changed, doubled or new; `broken`: and perhaps no JSON."""
    fields = deletion("2") if draw(st.integers(0, 7)) == 0 else response(draw(st.sampled_from("123")))
    fields |= {"submitted_at": draw(times())} if "submitted_at" in fields else {"updated_at": draw(times())}
    members = [(json.dumps(name).encode(), json.dumps(value).encode()) for name, value in fields.items()]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        member = draw(_raw_names | _odd_names if broken else _raw_names), draw(_odd_values if broken else _json_values)
        if draw(st.booleans()):
            members = [one for one in members if one[0] != member[0]]
        members.insert(draw(st.integers(0, len(members))), member)
    if not broken:
        return b"{" + b",".join(name + b": " + value for name, value in members) + b"}"
    colon, comma = draw(st.sampled_from([b":", b":", b"=", b""])), draw(st.sampled_from([b",", b",", b",,", b";"]))
    inner = comma.join(name + colon + value for name, value in members)
    return draw(_BLANKS) + b"{" + inner + draw(st.sampled_from([b"}", b"}", b",}", b"", b"}}", b"}{}"])) + draw(_BLANKS)


_spoilt: SearchStrategy[bytes | None] = (
    written(broken=True)
    | mutated()
    | random_bytes
    | st.builds(lambda value: value.decode(errors="replace").encode("utf-16"), written())
    | st.sampled_from([None, b"", b"\x00\x00\x00\x00\x01{}", b"\x1f\x8b\x08", b"{}", b"x" * 1_100_000])
)
_keys = st.sampled_from([None, b"", b"s/1", b"s/2", b"S/1", b"s", b"/", b"\xff\xfe", b"s/" + b"x" * 5_000, b"s/\x00"])
_origins = st.sampled_from([b"", b"1 2 3", b"9" * 15 + b" 0 0", b"1 99999 1", b"-1 0 0", b"1 2", b"\xff", b"1 2 3 4"])
_header_names = st.sampled_from([ORIGIN, "ce_type", "content-type", "npsflow_dlq_reason", ""])
_headers = st.lists(st.tuples(_header_names, _origins | st.binary(max_size=40)), max_size=3)
_timestamps = st.sampled_from([NOW] * 8 + [NOW + 1, 0, -1, 1, 2**53, 2**63 - 1, NOW - 90 * 86_400_000])


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """The records of one partition."""
    made = []
    for offset in range(draw(st.integers(1, 8))):
        value = draw(written() if draw(st.integers(0, 5)) else _spoilt)
        key = own_key(value) if draw(st.integers(0, 7)) else draw(_keys)
        headers: Headers = draw(_headers) if draw(st.integers(0, 3)) == 0 else []
        made.append(Record(key, value, offset, draw(_timestamps), headers))
    return made


def size(output: Output) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


@fuzzed(EXAMPLES)
@given(records(), st.sampled_from(STAGES))
def test_every_record_has_one_outcome_and_none_fails(taken: list[Record], stage: Classify) -> None:
    task, outcomes = Task(stage), Counter[str]()
    for record in taken:
        task.fold.prepare([record], NOW)
        before = len(task.pending)
        change = task.fold.read(record)  # what escapes is our mistake
        task.fold.apply(change)
        task.next += 1
        outcomes[change.outcome] += 1
        came = task.pending[before:]
        _expect_kept(record, change.outcome, came)
        _expect_bounded(record, change, came)
    for output in task.commit(NOW):
        if output.topic in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP):
            assert isinstance(codec.loads(output.value or b""), dict)
    counted = encode_counters(task.fold.counters)
    assert {name: counted[name] for name in OUTCOMES if counted.get(name)} == dict(outcomes)
    assert outcomes.total() == len(taken)
    _expect_restored(task)


def _expect_kept(record: Record, outcome: str, came: list[Output]) -> None:
    """What is not taken is kept as it came, once; nothing else is."""
    kept = [output for output in came if output.topic in (topics.DEAD_LETTERS, topics.RESPONSES)]
    topic = {"dead": topics.DEAD_LETTERS, "forwarded": topics.RESPONSES}.get(outcome)
    assert [output.topic for output in kept] == ([topic] if topic else [])
    for output in kept:
        assert output.value == record.value
        assert output.topic == topics.RESPONSES or output.key == record.key
        assert [*output.headers[: len(record.headers)]] == [*record.headers]
        assert b"internal_error" not in dict(output.headers).values()


def _expect_bounded(record: Record, change: Any, came: list[Output]) -> None:
    given_bytes = len(record.key or b"") + len(record.value or b"") + 200
    for output in came:
        assert size(output) <= max(OF_EACH * 5, 2 * given_bytes)
        assert size(output) <= MAX_RECORD
    assert len(came) <= 4
    assert len(change.packed or b"") <= OF_EACH * 5


def _expect_restored(task: Task) -> None:
    """From its changelogs a task is what it was."""
    before = repr((task.fold.gauges(), task.fold.stream_time, encode_counters(task.fold.counters)))
    task.restore()
    assert repr((task.fold.gauges(), task.fold.stream_time, encode_counters(task.fold.counters))) == before
