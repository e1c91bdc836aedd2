"""Where paths lead."""

import base64
import json
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.streams.intake.paths import InvalidPath, compiled, find
from tests.support.fuzzing import anything

FIELDS = [
    {"key": "question_a", "label": "How likely?", "value": 2},
    {"key": "question.b", "label": "Why [really]?", "value": "late"},
    {"key": "c", "value": ["o2", "o3"], "options": [{"id": "o1", "text": "A"}, {"id": "o2", "text": "Late"},
                                                    {"id": "o3", "text": "Broken"}]},
    {"key": 7, "value": False, "about": {"type": "x"}},
    {"key": "twice", "value": "one"}, {"key": "twice", "value": ""}, {"key": "twice", "value": "two"},
    "no object",
]  # fmt: skip
CONTENT = {
    "data": {"fields": FIELDS, "a.b": {"c": 1}},
    "raw": json.dumps({"q3": {"x": 5}, "list": [1, [2]]}),
    "message": {"data": base64.urlsafe_b64encode(b'{"score": "9?>"}').decode().rstrip("=")},
    "contact": ["Some", "One", "someone@example.com"],
    "choice": "o1",
    "Q1[SQ001]": "Y",
    "Rate us [0=never, 10=always]": 3,
    "answers": {"3": {"name": "nps", "answer": "9"}, "4": {"name": "why", "answer": "late"}},
    'quoted "name"': 4,
    "rows": [{"n": 1}, {"n": 2}],
    "tags": ["a", "b"],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.fields[key=question_a].value", 2), ("data.fields.[key=question_a].value", 2),
        ("data.fields[ key = question_a ].value", 2), ('data.fields[key="question.b"].value', "late"),
        ("data.fields[key=question.b].value", "late"), ('data.fields[label="Why [really]?"].value', "late"),
        ("data.fields[label=How likely?].value", 2), ("data.fields[key=7].value", False),
        ("data.fields[about.type=x].key", 7), ("data.fields[key=none].value", None),
        ("data.fields[key=twice].value", "one, two"),
        ("data.fields[key=c].options[id in value].text", "Late, Broken"), ("data.fields[key=c].value", ["o2", "o3"]),
        ("data.fields.0.value", 2), ("data.fields[0].value", 2), ("data.fields[99].value", None),
        ("data.fields[0]", FIELDS[0]),
        ("data.fields.key", None), ("data.fields", FIELDS), ("data.fields[value=true].key", None),
        ("data.fields[value=false].key", 7),
        ("data.a.b.c", 1), ('data."a.b".c', 1), ('"quoted \\"name\\""', 4),
        ("raw|json.q3.x", 5), ("raw|json.list[1].0", 2), ("raw|json", {"q3": {"x": 5}, "list": [1, [2]]}),
        ("raw.q3", None),
        ("choice|json.a", None), ("choice|base64.a", None), ("data|json.a.b.c", 1), ("tags|json.0", "a"),
        ("message.data|base64|json.score", "9?>"), ("message.data|base64", '{"score": "9?>"}'),
        ("contact.2", "someone@example.com"), ("contact[2]", "someone@example.com"), ("contact[1].x", None),
        ("Q1[SQ001]", "Y"), ("Rate us [0=never, 10=always]", 3),
        ("answers[name=nps].answer", "9"), ("answers.3.answer", "9"), ("answers[3].answer", "9"),
        ("rows[*].n", 1), ("answers[*].answer", "9, late"), ("tags[*]", "a, b"), ("contact[*].x", None),
        ("rows[n=2].n", 2),
        ("", None), (".", None), ("data..fields", None),
    ],
)  # fmt: skip
def test_a_path_leads_there(path: str, value: Any) -> None:
    assert find(CONTENT, path) == value


def test_of_several_paths_the_first_that_leads_to_something_counts() -> None:
    content: dict[str, Any] = {"a": None, "b": " ", "c": [], "d": {}, "e": 0, "f": 1}
    assert find(content, ("x", "a", "b", "c", "d", "e", "f")) == 0
    assert find(content, ("a", "b")) is None
    assert find(content, "b") == " "


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ('a."b', "position 3: the quote is not closed"), ('a."b"c', "position 6: a dot is missing"),
        ("a[0]b", "position 5: a dot is missing"), ("a[key=", r"position 2: it is not \[key=value\]"),
        ("a[key=]", r"position 2: it is not \[key=value\]"), ("a[=b]", r"position 2: it is not"),
        ('a[key="b]', "position 2"), ("a|jsn.b", r"position 2: there are \|json"),
        (".".join("a" * 40), "over 32 steps"),
        ("a" * 1001, "over 1,000 characters"),
    ],
)  # fmt: skip
def test_what_is_no_path_is_named_with_its_place(path: str, message: str) -> None:
    with pytest.raises(InvalidPath, match=message):
        compiled(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("answers.nps", "nps"), ("data.fields[key=question_a].value", "question_a"), ("score", "score"),
        ("data.fields[key=c].options[id in value].text", "c"), ("data.fields[1].value", "1"), ("data.1.value", "value"),
        ("raw|json.q3_nps", "q3_nps"), ("Please rate us.", ""), ("group/question", "group/question"),
        ("Q1[SQ001]", "Q1[SQ001]"),
    ],
)  # fmt: skip
def test_a_question_has_a_name(path: str, name: str) -> None:
    assert compiled(path).last == name


_words = st.sampled_from(
    ["a", "b", "0", "1", "[0]", "[a=0]", "[a in b]", "[*]", "|json", "|base64", ".", '"', "[", "]", "="]
)


@given(st.lists(_words, max_size=12).map("".join) | st.text(max_size=30), anything)
def test_no_path_and_no_content_crash(path: str, content: Any) -> None:
    with suppress(InvalidPath):
        find({"a": content, "b": [content, {"a": content}]}, path)
        find(content, (path, "a"))


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.text(min_size=1, max_size=3), inner, min_size=1)))
def test_names_in_quotes_lead_to_every_value(content: Any) -> None:
    path, value = [], content
    while isinstance(value, dict):
        name = next(iter(value))
        path.append('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"')
        value = value[name]
    if 0 < len(path) <= 32:
        assert find(content, ".".join(path)) == value


@pytest.mark.parametrize(
    "path", ["a[k=v][k=v][k=v].x", "a[*][*][*].x", "a[k in k].k", "a|json|json|json.a", "a.a.a.a.a.a"]
)
def test_the_work_grows_with_the_size_alone(path: str) -> None:
    def calls(size: int) -> int:
        content = {"a": [{"k": "v", "x": [{"k": "v"}] * 3} for _ in range(size)], "k": "v", "a.a.a": "[" * size}
        counted = Counter[str]()
        sys.setprofile(lambda frame, event, _: counted.update([event]))
        try:
            find(content, path)
        finally:
            sys.setprofile(None)
        return counted["call"] + counted["c_call"]

    compiled(path)  # once
    assert calls(2_000) < 11 * calls(200)
