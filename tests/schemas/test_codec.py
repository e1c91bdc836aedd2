"""JSON and msgpack: what cannot be read is said in one way, equal content gives equal bytes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from npsflow.schemas.codec import (
    NotJson,
    Undecodable,
    convert,
    decode_response,
    dumps,
    dumps_lenient,
    encode,
    joined,
    loads,
    loads_lenient,
    pack,
    parts,
    unpack,
)
from npsflow.schemas.response import Customer, Scale
from tests.strategies import encoded, random_bytes, random_json, well_formed


@given(encoded(well_formed()))
def test_a_response_comes_back_from_what_it_is_encoded_to(value: bytes) -> None:
    response = decode_response(value)
    assert encode(decode_response(encode(response))) == encode(response)
    assert json.loads(value).keys() == json.loads(encode(response)).keys()


@given(random_json)
def test_any_json_and_msgpack_comes_back(value: Any) -> None:
    assert loads(dumps(value)) == loads(dumps(value, indent=True)) == value == unpack(pack(value))


@given(random_bytes)
def test_what_is_no_response_raises_what_is_promised(value: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_response(value)


@pytest.mark.parametrize(("value", "deep"), [(b"{", False), (b"NaN", False), (b"", False), (b"[" * 10_000, True)])
def test_what_is_no_json(value: bytes, deep: bool) -> None:
    with pytest.raises(NotJson) as error:
        loads(value)
    assert error.value.too_deep == deep
    with pytest.raises(Undecodable):
        decode_response(value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"a": [NaN, -Infinity, 1.5, "NaN"]}', {"a": ["NaN", "-Infinity", 1.5, "NaN"]}),
        ("[1e999, -1e999, 1" + "0" * 400 + "]", ["Infinity", "-Infinity", "Infinity"]),
        (r'"cut \ud83d"', "cut \ufffd"),
        (r'["\ud83d\ude00 \\ud83d \ude00", Infinity]', ["\U0001f600 \\ud83d \ufffd", "Infinity"]),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_json_that_is_not_strict_is_read_as_it_is_meant(text: str, read: Any) -> None:
    for value in (loads_lenient(text), loads_lenient(text.encode()), loads_lenient(dumps_lenient(loads_lenient(text)))):
        assert json.loads(json.dumps(value, default=str)) == read


@pytest.mark.parametrize(("text", "deep"), [("nan", False), ("{NaN", False), ("", False), ("[" * 9999 + "NaN", True)])
def test_what_is_no_json_to_anybody(text: str, deep: bool) -> None:
    with pytest.raises(NotJson) as error:
        loads_lenient(text)
    assert error.value.too_deep == deep


def test_equal_content_gives_equal_bytes() -> None:
    assert encode({"b": 1, "a": {"d": 1, "c": 2}}) == encode({"a": {"c": 2, "d": 1}, "b": 1})
    assert dumps({"b": Customer(id="1"), "a": Scale(0, 5)}) == b'{"a":{"max":5,"min":0},"b":{"id":"1"}}'
    assert encode(1) != encode(1.0) != encode(True)


def test_types_are_checked_strictly() -> None:
    assert convert({"min": 0, "max": 5}, Scale) == Scale(0, 5)
    wrong: Any
    for wrong in ({"min": "0", "max": 5}, {"min": 0}, {"min": True, "max": 5}, []):
        with pytest.raises(msgspec.ValidationError):
            convert(wrong, Scale)


def test_objects_are_joined_into_one() -> None:
    one, two, three = dumps({"a": {}}), dumps({"b": [1], "c": "}"}), dumps({"d": None})
    assert joined(one) == one
    assert joined(one, two, three) == b'{"a":{},"b":[1],"c":"}","d":null}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'[{"a":1}, 2]', [b'{"a":1}', b"2"]),
        (b' {"answers":[ {"a":[1]} ,{}],"b":[3]}', [b'{"a":[1]}', b"{}"]),
        (b'{"answers":7,"items":[]}', []),
        (b'{"b":[1]}', [b'{"b":[1]}']),
    ],
)
def test_a_list_is_cut_into_the_json_of_its_items(value: bytes, expected: list[bytes]) -> None:
    assert [bytes(part) for part in parts(value, ("answers", "items"))] == expected


@pytest.mark.parametrize(("value", "deep"), [(b"{", False), (b"[1,", False), (b"[" * 10_000, True)])
def test_what_is_no_json_is_not_cut(value: bytes, deep: bool) -> None:
    with pytest.raises(NotJson) as error:
        parts(value, ())
    assert error.value.too_deep == deep
