"""What `produce --check` says of fields that are accepted and do not become what was meant."""

import json
from typing import Any

import pytest

from npsflow.agents.operations.field_notes import FieldNotes
from npsflow.streams.classify.parsing import read
from npsflow.streams.scoring.scores import Scales
from tests.support.responses import response

IGNORED = " is no field of a response, and ignored"


def notes(*values: bytes) -> list[str]:
    found = FieldNotes()
    for number, value in enumerate(values, 1):
        found.add(number, value, read(value, Scales())[2])
    return list(found.texts())


def about(**fields: Any) -> list[str]:
    return notes(json.dumps(response(**fields)).encode())


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"departement": "Typo"}, f"'departement'{IGNORED}; did you mean department?"),
        ({"Comment": "x"}, f"'Comment'{IGNORED}; did you mean comment?"),
        ({"colour_of_shoes": 1}, f"'colour_of_shoes'{IGNORED}"),
        ({"customer": {"e-mail": "x"}}, f"'customer.e-mail'{IGNORED}; did you mean customer.email?"),
        ({"answers": [{"questionid": 1}]}, f"'answers.questionid'{IGNORED}; did you mean answers.question_id?"),
        ({"department": 7}, "department is of a wrong type or too long: it is dropped or cut"),
        ({"customer": {"id": 7}}, "customer.id is of a wrong type or too long: it is dropped or cut"),
        ({"x\x1b[31m" + "y" * 100: 1}, f"'x\\x1b[31m{'y' * 34}'{IGNORED}"),
    ],
)  # fmt: skip
def test_a_field_is_named_once(fields: dict[str, Any], note: str) -> None:
    assert about(**fields) == [f"line 1: {note}"]


def test_good_fields_are_not_worth_a_note() -> None:
    assert about(comment="x", attributes={"anything": 1}, customer={"id": "C-77"}, scale={"min": 0, "max": 10}) == []


def test_a_note_counts_its_lines() -> None:
    good, odd = json.dumps(response()).encode(), json.dumps(response(chanel="x")).encode()
    (note,) = notes(good, odd, good, odd, odd)
    assert note.startswith("line 2 and 2 more: 'chanel'")


def test_what_is_mended_has_a_note_too() -> None:
    value = json.dumps(response(attributes={"age": float("nan")})).encode()
    assert notes(b"\xef\xbb\xbf" + value) == [
        "line 1: a byte order mark before the JSON is passed over",
        "line 1: attributes is of a wrong type or too long: it is dropped or cut",
    ]


def test_notes_do_not_grow_without_bound() -> None:
    assert len(about(**{f"field{n}": n for n in range(1_000)})) == 100
