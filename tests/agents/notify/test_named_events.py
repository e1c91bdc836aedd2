"""Which messages `npsflow notify replay --id` is about."""

import pytest

from npsflow.agents.notify.delivery_log import named_events
from npsflow.schemas.errors import AmbiguousName

IDS = ["c-1a2b.1", "c-1a2b.12", "c-1a2c.1", "c-9.3"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("c-1a2b.1", {"c-1a2b.1"}),  # not also the twelfth
        ("c-1a2b", {"c-1a2b.1", "c-1a2b.12"}),
        ("c-9", {"c-9.3"}),
        ("c-3", set()),
        ("", set(IDS)),
    ],
)
def test_an_event_or_all_of_a_case(name: str, expected: set[str]) -> None:
    assert named_events(IDS, name) == expected


def test_several_cases_are_named() -> None:
    with pytest.raises(AmbiguousName, match="c-1a names 2 of them, say which: c-1a2b, c-1a2c"):
        named_events(IDS, "c-1a")
