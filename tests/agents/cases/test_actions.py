"""Actions are checked before they are sent."""

from typing import Any

import pytest

from npsflow.agents.cases.actions import InvalidAction, parse_action
from npsflow.agents.sealing.cipher import new_key_id, new_secret, seal
from npsflow.schemas import codec
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.response import MAX_COMMENT
from npsflow.streams.recovery.inputs import valid_action

ACTION = {"action_id": "do-1", "action": "contact", "by": "anna", "case_id": "c-1"}


def test_fields_that_are_none_are_left_out() -> None:
    assert parse_action(ACTION | {"comment": None}) == TeamAction("do-1", "contact", "anna", case_id="c-1")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"colour": "secret"}, "an action has no field `colour`"),
        ({"no name": "secret"}, "a field is unknown"),
        ({"action": "secret"}, "Invalid enum value"),
        ({"by": None}, "missing required field `by`"),
        ({"comment": "\ud800secret"}, "not UTF-8"),
        ({"at": "secret"}, "`at` is no time with an offset"),
        ({"at": "2026-03-02T09:00:00"}, "`at` is no time with an offset"),
    ],
)
def test_what_is_no_action_is_explained(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidAction, match=problem):
        parse_action(ACTION | change)


def test_a_comment_is_limited_before_it_is_sealed() -> None:
    longest = "é" * MAX_COMMENT
    assert parse_action(ACTION | {"comment": longest}).comment == longest
    with pytest.raises(InvalidAction, match="length <= 16384"):
        parse_action(ACTION | {"comment": longest + "é"})
    token = seal(longest.encode(), new_key_id(), new_secret())
    sealed = parse_action(ACTION | {"comment": token})
    assert valid_action(b"C-1", codec.encode(sealed)) == sealed
    for long in longest + "é", token + "A" * 60_000:
        with pytest.raises(RefusedRecord, match="length <= "):
            valid_action(b"C-1", codec.dumps(ACTION | {"comment": long}))


def test_an_error_does_not_quote_a_comment() -> None:
    with pytest.raises(InvalidAction) as error:
        parse_action(ACTION | {"comment": "\ud800secret"})
    assert "secret" not in str(error.value)
