"""Which paths of a mapping lead somewhere."""

from typing import Any

import msgspec
import pytest

from npsflow.streams.intake.coverage import check_answered, mapped_paths, never_found, present_paths
from npsflow.streams.intake.mapping import FormMapping, Score, Submission, Unmapped
from npsflow.streams.intake.paths import find

FORM = FormMapping(
    "generic",
    [Score("a.nps", "nps"), Score("b", "csat")],
    comment=["why"],
    fields={"customer.id": "contact.userIdd", "channel": "via"},
    drivers={"speed": "delivery"},
)


@pytest.mark.parametrize(
    ("content", "more", "understood"),
    [
        ({}, {}, False),
        ({"a": {"other": 3}}, {}, False),
        ({"a": None}, {}, False),
        ({"a": {"nps": None}}, {}, True),
        ({"a": {"nps": ""}}, {}, True),
        ({"b": None}, {}, True),
        ({}, {"finished": False}, True),
        ({}, {"deleted": True}, True),
        ({}, {"questions": frozenset({"nps"})}, True),
        ({}, {"questions": frozenset({"rating"})}, False),
    ],
)
def test_a_finished_form_has_a_score_question(content: dict[str, Any], more: dict[str, Any], understood: bool) -> None:
    submission = Submission("f", "1", "now", content=content, **more)
    if understood:
        check_answered(FORM, submission)
    else:
        with pytest.raises(Unmapped, match=r"nothing is at a\.nps, b$"):
            check_answered(FORM, submission)


def test_what_lies_deep_is_looked_through_without_end() -> None:
    deep: Any = None
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(Unmapped):
        check_answered(FORM, Submission("f", "1", "now", content={"x": deep}))
    assert len(list(present_paths({"x": deep}))) == 1


def test_every_path_is_named_with_its_setting() -> None:
    assert list(mapped_paths(FORM)) == [
        ("paths.response_id", "response_id"),
        ("paths.submitted_at", "submitted_at"),
        ("paths.form", "form"),
        ("scores", "a.nps"),
        ("scores", "b"),
        ("comment", "why"),
        ("fields.customer.id", "contact.userIdd"),
        ("fields.channel", "via"),
        ("drivers", "speed"),
    ]


def test_paths_that_are_there() -> None:
    content = {"a": {"nps": 3, "x.y": None}, "tags": ["p", "q"], "fields": [{"key": "k", "value": 1}], "none": {}}
    assert list(present_paths(content)) == [
        ("a.nps", 3),
        ("a.x.y", None),
        ("tags", ["p", "q"]),
        ("fields[0].key", "k"),
        ("fields[0].value", 1),
        ("none", {}),
    ]
    assert list(present_paths("no object")) == []


def test_paths_that_never_found_anything() -> None:
    full = {
        "response_id": "1:nps",
        "comment": "slow",
        "customer": {"id": "C-77"},
        "channel": "phone",
        "answers": [{"question_id": "speed", "topic": "delivery", "score": 2}],
    }
    assert [path for _, path in never_found(FORM, [full])] == ["b"]
    assert never_found(FORM, [full, {"response_id": "2:b"}]) == []
    pseudonym = {"response_id": "1:b", "customer": {"id": "e-" + 32 * "0", "email": "someone@example.com"}}
    assert [path for _, path in never_found(FORM, [pseudonym])] == ["a.nps", "why", "contact.userIdd", "via", "speed"]
    odd = {"response_id": 5, "customer": "C-77", "answers": "none"}
    assert len(never_found(FORM, [odd, odd | {"answers": ["none"]}])) == 6


def test_a_form_that_does_not_count_need_not_be_understood() -> None:
    form = msgspec.structs.replace(FORM, only={"kind": ("answer", "gone")}, deleted={"kind": "gone"})
    for kind in ("ping", "gone"):
        check_answered(form, Submission("f", "1", "now", content={"kind": kind}))
    with pytest.raises(Unmapped):
        check_answered(form, Submission("f", "1", "now", content={"kind": "Answer"}))


def test_the_paths_in_a_text_of_json_are_there() -> None:
    content = {"raw": ' {"q3": 9, "list": [{"x": "["}]}', "why": "{not JSON"}
    paths = dict(present_paths(content))
    assert paths == {"raw|json.q3": 9, "raw|json.list[0].x": "[", "why": "{not JSON"}
    assert all(find(content, path) == value for path, value in paths.items())
