"""What is sealed of a response, and that classify makes the same of it."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from npsflow.agents.sealing.cipher import new_key_id, new_secret, seal
from npsflow.agents.sealing.fields import clear_fields, is_personal, person_key, sealed
from npsflow.agents.sealing.table import KeyTable
from npsflow.schemas import codec
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.sealed import is_sealed
from npsflow.streams.classify.parsing import read
from npsflow.streams.scoring.scores import Scales
from tests.strategies import random_json, well_formed
from tests.support.responses import response

ID, SECRET, SCALES = new_key_id(), new_secret(), Scales()
TABLE = KeyTable()
TABLE.put("C-1", ID, SECRET, 0)

PERSONAL: dict[str, Any] = {
    "comment": "My boiler leaks",
    "response_url": "https://s.example/ann@example.com",
    "answers": [{"question_id": "q", "topic": "speed", "score": 2, "text": "Ann waited"}, {"text": " "}],
    "customer": {"id": "C-1", "tier": "gold", "name": "Ann Example", "email": "ann@example.com", "phone": "+31 6 1234"},
    "attributes": {"plan": "pro", "contact": "Ann Example", "number": 31612345678},
    "reference": {"type": "ticket", "id": "7", "url": "https://desk.example/7"},
}
WORDS = ("boiler", "ann@", "Ann", "1234", 'pro"s')


def as_token(text: str) -> str:
    return text if is_sealed(text) else seal(text.encode(), ID, SECRET)


def outcome(fields: dict[str, Any]) -> tuple[Any, ...]:
    """What classify reads: the response with all texts opened, warnings, or the reason why it is refused."""
    try:
        content, scale, warnings = read(codec.dumps(fields), SCALES)
    except RefusedRecord as refused:
        return refused.reason, refused.source
    return codec.loads(TABLE.open(codec.encode(content))), scale, warnings


_ODD = ("comment", "answers", "customer", "attributes", "reference", "channel", "deleted", "score", "mine")
odd = st.fixed_dictionaries({}, optional=dict.fromkeys(_ODD, random_json))
odd_parts = st.fixed_dictionaries(
    {},
    optional={
        "customer": st.dictionaries(st.sampled_from(["id", "name", "email", "phone", "tier", "mine"]), random_json),
        "answers": st.lists(
            st.dictionaries(st.sampled_from(["text", "score", "topic", "mine"]), random_json) | random_json
        ),
    },
)


@given(well_formed(), odd | odd_parts)
@example(response(), {"comment": "é" * 5000, "customer": {"name": "n" * 256, "email": "\N{PILE OF POO}" * 256}})
@example(response(), {"customer": {"name": "n" * 257, "email": ["a@b.example"]}, "comment": {"text": "Ann"}})
def test_classify_makes_the_same_of_it(fields: dict[str, Any], changed: dict[str, Any]) -> None:
    fields |= changed
    hidden = sealed(fields, (), as_token)
    assert outcome(hidden) == outcome(fields)
    assert sealed(hidden, (), as_token) == hidden  # what is sealed already stays


def test_no_personal_text_is_left() -> None:
    unknown: dict[str, Any] = {"full_name": "Ann", "profile": {"mail": "ann@example.com"}, "channel": ["Ann"]}
    fields = response(**PERSONAL, **unknown)
    text = json.dumps(sealed(fields, ["contact", "number"], as_token))
    assert [word for word in WORDS if word in text] == []
    for kept in ('"C-1"', '"gold"', '"pro"', '"speed"', '"ticket"', "https://desk.example/7", '" "'):
        assert kept in text
    opened = json.loads(TABLE.open(text.encode()))
    assert opened["attributes"] == PERSONAL["attributes"] | {"number": "31612345678"}
    assert (opened["comment"], opened["customer"]) == (PERSONAL["comment"], PERSONAL["customer"])
    assert opened["full_name"] == ["Ann"]


def test_a_comment_is_cut_before_it_is_sealed() -> None:
    fields = sealed(response(comment="é" * MAX_COMMENT), (), as_token)
    content, _, warnings = read(codec.dumps(fields), SCALES)
    assert warnings == ()
    assert json.loads(TABLE.open(codec.encode(content)))["comment"] == "é" * (MAX_COMMENT // 2)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"source": "s", "response_id": "1", "customer": {"id": "C-1"}}, "C-1"),
        ({"source": "s", "response_id": "1", "customer": {"id": ""}}, "s/1"),
        ({"source": "s", "response_id": "1", "customer": {"id": 7}}, "s/1"),
        ({"source": "s", "response_id": "1", "customer": "Ann"}, "s/1"),
        ({"source": "s", "invitation_id": "1"}, "s/1"),
        ({"source": "s"}, ""),
        ({"response_id": 1, "source": "s"}, ""),
    ],
)
def test_under_whose_key(fields: dict[str, Any], key: str) -> None:
    assert person_key(fields) == key


@pytest.mark.parametrize(
    ("fields", "personal"),
    [
        ({}, False),
        (
            {"comment": "", "customer": {"id": "C-1", "name": None}, "attributes": {"plan": "pro"}, "deleted": True},
            False,
        ),
        ({"comment": " \n"}, False),
        ({"comment": "-"}, True),
        ({"attributes": {"contact": "Ann"}}, True),
        ({"mine": "Ann"}, True),
        ({"mine": 7}, False),
    ],
)
def test_a_key_is_needed_only_for_what_is_personal(fields: dict[str, Any], personal: bool) -> None:
    assert is_personal(response(**fields), ["contact"]) is personal


def test_what_is_in_the_clear_is_named() -> None:
    found = clear_fields(response(**PERSONAL), ["contact"])
    assert sorted(found) == [
        "answers[].text", "attributes.contact", "comment", "customer.email", "customer.name", "customer.phone",
        "response_url",
    ]  # fmt: skip
    assert clear_fields(sealed(response(**PERSONAL), ["contact"], as_token), ["contact"]) == []
    assert clear_fields({"email": "a@b.example", "history": [{"comment": "called"}]}, ()) == [
        "email",
        "history[].comment",
    ]
    assert clear_fields({"customer": 1, "answers": 2, "attributes": [], "history": {}}, ("x",)) == []
