"""What a form's answers become; the platforms' own fixtures are in tests/agents/intake."""

from typing import Any

import pytest

from npsflow.streams.intake.mapper import Mapper
from npsflow.streams.intake.mapping import FormMapping, Score, Submission, Unmapped
from npsflow.streams.intake.paths import find


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (7, 7), (7.0, 7), ("7", 7), (" 7 ", 7), ("good", 5),
        # No whole number: sent on as it is, to be refused by name.
        (7.5, 7.5), ("7.5", "7.5"), ("very good", "very good"), (True, True), (1e24, 1e24), ("9" * 30, "9" * 30),
    ],
)  # fmt: skip
def test_answers_become_scores(answer: Any, score: Any) -> None:
    form = FormMapping("generic", [Score("a", "csat", words={"good": 5})])
    (made,) = Mapper(form, lambda email: None).responses(Submission("f", "1", "now", content={"a": answer}))
    assert (made["score"], type(made["score"])) == (score, type(score))


@pytest.mark.parametrize(
    ("form_id", "named"),
    [("lT4Z3j", "form 'lT4Z3j' is"), ("someone@example.com", "the form is"), ("x" * 65, "the form is")],
)
def test_a_form_that_is_not_mapped_is_named_unless_it_may_be_something_else(form_id: str, named: str) -> None:
    """As where the path of the form is wrong: what a customer wrote would stand in a header of a dead letter."""
    with pytest.raises(Unmapped, match=f"^{named} not among the forms of this mapping$"):
        FormMapping("generic", [Score("a", "nps")], forms=["f"]).check_form(form_id)


@pytest.mark.parametrize(
    ("path", "found"),
    [("a", {"b": 1, "b.c": 2}), ("a.b", 1), ("a.b.c", 2), ("a.x", None), ("d.e", 3), ("a.b.c.d", None), ("", None)],
)
def test_paths(path: str, found: Any) -> None:
    assert find({"a": {"b": 1, "b.c": 2}, "d.e": 3}, path) == found


def test_without_an_own_number_a_customer_gets_a_pseudonym_or_none() -> None:
    form = FormMapping("generic", [Score("a", "nps")], fields={"customer.id": "id", "customer.email": "mail"})
    for content, id_ in (({"id": 5, "mail": "m"}, "5"), ({"mail": "m"}, "of m"), ({}, None)):
        sent = Submission("f", "1", "now", content={"a": 1, **content})
        (made,) = Mapper(form, lambda email: f"of {email}").responses(sent)
        assert made.get("customer", {}).get("id") == id_
