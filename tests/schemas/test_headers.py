"""CloudEvents headers, and where a forwarded record comes from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.headers import ORIGIN, CloudEvents, DeadLetter, ReadyHeaders, origin, with_origin
from npsflow.schemas.records import encode_headers


def test_an_event_has_the_headers_of_cloud_events() -> None:
    headers = CloudEvents("npsflow/t.", ["npsflow.alert.raised.v1"]).headers("npsflow.alert.raised.v1", "a-é", 2, "now")
    assert dict(headers) == {
        "ce_specversion": b"1.0", "ce_type": b"npsflow.alert.raised.v1", "ce_source": b"npsflow/t.",
        "content-type": b"application/json", "ce_id": "a-é.2".encode(), "ce_time": b"now", "ce_subject": "a-é".encode(),
    }  # fmt: skip
    assert len(headers) == 7


@given(st.text(), st.text(), st.lists(st.sampled_from([b'{"a":{},"b":"}"}', b'{"c":1}']), min_size=1, unique=True))
def test_the_value_of_an_event_says_first_what_its_headers_say(subject: str, suffix: str, parts: list[bytes]) -> None:
    value, headers = CloudEvents("s", ["t"]).event("t", subject, suffix, "2026-03-01T15:00:00Z", *parts)
    stated = {name: dict(headers)[f"ce_{name}"].decode() for name in ("type", "id", "time")}
    assert list(json.loads(value).items()) == [
        *stated.items(), *(pair for part in parts for pair in json.loads(part).items())
    ]  # fmt: skip
    assert headers == CloudEvents("s", ["t"]).headers("t", subject, suffix, "2026-03-01T15:00:00Z")


def test_ready_headers_are_headers() -> None:
    headers = CloudEvents("s", ["t"]).headers("t", "a-é", 1, "now")
    assert isinstance(headers, ReadyHeaders)
    assert (len(headers), headers[0], headers[4:6]) == (
        7, ("ce_specversion", b"1.0"), [("ce_id", "a-é.1".encode()), ("ce_time", b"now")]
    )  # fmt: skip
    assert headers == [*headers] == headers
    assert headers != [*headers, ("more", b"")]
    assert headers.encoded == encode_headers(headers)


@given(st.integers(0, 10**15 - 1), st.integers(0, 65_535), st.integers(0, 10**14 - 1))
def test_an_origin_is_read_as_it_was_written(append: int, partition: int, offset: int) -> None:
    headers = [("trace", b"x"), (ORIGIN, b"nonsense")]
    assert origin(with_origin(headers, append, partition, offset)) == (append, partition, offset)
    assert len(headers) == 2


@pytest.mark.parametrize(
    "value",
    [None, b"1 65536 2", b"", b"1 2", b"1 2 3 4", b"-1 0 0", b"1  2 3", b"1 2 3\n", b"a b c", b"1" * 16 + b" 0 0"],
)
def test_what_is_no_origin(value: Any) -> None:
    """Kafka has headers without a value too."""
    assert origin([(ORIGIN, value)]) is None


def test_a_dead_letter_says_why_behind_its_own_headers() -> None:
    own = [("trace", b"x")]
    headers = DeadLetter("not_json", "why", "topic", 3, 7, "now").headers(own)
    assert headers[0] == ("trace", b"x")
    assert dict(headers[1:]) == {
        "npsflow_dlq_reason": b"not_json", "npsflow_dlq_message": b"why", "npsflow_dlq_topic": b"topic",
        "npsflow_dlq_partition": b"3", "npsflow_dlq_offset": b"7", "npsflow_dlq_at": b"now",
    }  # fmt: skip
    assert DeadLetter("", "", "", 0, 0, "", "typeform").headers(own)[-1] == ("npsflow_dlq_source", b"typeform")
    assert own == [("trace", b"x")]
