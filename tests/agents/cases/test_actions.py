"""Actions are checked before they are sent."""

from typing import Any

import pytest

from npsflow.agents.cases.actions import InvalidAction, parse_action
from npsflow.schemas.cases import TeamAction

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


def test_an_error_does_not_quote_a_comment() -> None:
    with pytest.raises(InvalidAction) as error:
        parse_action(ACTION | {"comment": "\ud800secret"})
    assert "secret" not in str(error.value)
