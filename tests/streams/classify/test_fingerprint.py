"""Which fields changed is seen from two bytes each."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from npsflow.schemas.response import Answer, Reference
from npsflow.streams.classify.fingerprint import changed, fingerprint
from tests.streams.contexts import AT, context

VALUES: dict[str, list[Any]] = {
    "survey_id": ["q", "r"],
    "score": [0, 2, 6],
    "submitted_at": [AT, AT + timedelta(microseconds=1)],
    "comment": [None, "", "slow", "Slow"],
    "answers": [None, [], [Answer("q", score=1)], [Answer("q", score=1.0)], [Answer("q", text="1")]],
    "attributes": [None, {}, {"plan": 1}, {"plan": True}, {"plan": "1"}],
    "reference": [None, Reference(id="1"), Reference(type="1")],
    "contact_requested": [None, False, True],
    "value": [None, 0, 1, 1.0],
    "name": [None, "Ann"],
    "phone": [None, "0"],
}
given_fields = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})


@given(given_fields, given_fields)
def test_exactly_the_fields_that_differ_are_named(before: dict[str, Any], after: dict[str, Any]) -> None:
    different = sorted(name for name in VALUES if repr(before[name]) != repr(after[name]))
    assert changed(fingerprint(context(**before)), fingerprint(context(**after))) == different


def test_a_set_field_takes_two_bytes() -> None:
    bare = fingerprint(context())
    assert len(fingerprint(context(comment="x" * 1000))) == len(bare) + 2


@pytest.mark.parametrize("name", ["response_id", "source", "metric", "category", "customer_id"])
def test_what_makes_another_alert_is_no_change_of_this_one(name: str) -> None:
    one = context()
    other = replace(one, **{name: "other"})
    assert asdict(one) != asdict(other)
    assert changed(fingerprint(one), fingerprint(other)) == []
