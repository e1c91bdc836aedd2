"""The table of the events to send when a version replaces another."""

from itertools import product

import pytest

from npsflow.schemas.events import Cause
from npsflow.streams.classify.lifecycle import cause, steps


@pytest.mark.parametrize(
    ("revision", "live", "wanted", "same", "changed", "expected"),
    [
        (0, False, False, False, True, []),
        (0, False, True, False, True, [("started", 1)]),
        (2, False, False, True, True, []),
        (2, False, True, True, False, [("resumed", 3)]),
        (2, False, True, False, True, [("resumed", 3)]),
        (2, True, False, True, False, [("retracted", 3)]),
        (2, True, True, True, False, []),
        (2, True, True, True, True, [("enriched", 3)]),
        (2, True, True, False, False, [("retracted", 3), ("resumed", 4)]),
        (2, True, True, False, True, [("retracted", 3), ("resumed", 4)]),
    ],
)
def test_steps(
    revision: int, live: bool, wanted: bool, same: bool, changed: bool, expected: list[tuple[str, int]]
) -> None:
    assert list(steps(revision, live=live, wanted=wanted, same=same, changed=changed)) == expected


def test_whatever_happens_it_ends_as_wanted_with_revisions_in_a_row() -> None:
    for live, wanted, same, changed in product((False, True), repeat=4):
        revision = 5 if live or same else 0
        found = steps(revision, live=live, wanted=wanted, same=same, changed=changed)
        assert [step.revision for step in found] == list(range(revision + 1, revision + 1 + len(found)))
        assert (found[-1].kind != "retracted" if found else live) == wanted


@pytest.mark.parametrize(
    ("true", "expected"),
    [
        ("deleted test internal metric_changed category_changed", "deleted"),
        ("test internal metric_changed category_changed", "test"),
        ("internal metric_changed category_changed", "internal"),
        ("metric_changed category_changed", "metric"),
        ("category_changed", "category"),
        ("moved", "moved"),
        ("", "settings"),
    ],
)
def test_the_first_cause_that_holds(true: str, expected: Cause) -> None:
    names = ("deleted", "test", "internal", "metric_changed", "category_changed", "moved")
    assert cause(**{name: name in true.split() for name in names}) == expected
