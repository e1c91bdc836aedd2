"""Every adapter conforms; nothing that is sent makes one stumble."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npsflow.agents.intake import platforms
from npsflow.agents.intake.api import Unanswered
from npsflow.agents.intake.delivery import TurnedDown
from npsflow.streams.forms import Unmapped

from .conformance import FIXTURES, Conformance, platform
from .signing import SIGN


@cache
def conformance(name: str) -> Conformance:
    return platform(name)


def test_every_platform_has_fixtures() -> None:
    assert platforms.names() == sorted(folder.name for folder in FIXTURES.iterdir()) == sorted(SIGN)


@pytest.mark.parametrize("name", sorted(SIGN))
def test_platform_conforms(name: str) -> None:
    conformance(name).conforms()


SENT = ("good.json", "updated.json", "before.json", "partial.json", "deleted.json", "offered.json", "asked.json")
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("name", sorted(SIGN))
@settings(max_examples=750, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_sent_is_understood_or_turned_down(name: str, data: st.DataObject) -> None:
    """What the platform sends with one part of it anything, and bytes that are nothing."""
    under = conformance(name)
    if data.draw(st.booleans()):
        sent_by_it = [name for name in SENT if under.has(name)]
        body: Any = json.loads(under.body(data.draw(st.sampled_from(sent_by_it))))
        put(body, data.draw(st.randoms(use_true_random=False)).random, data.draw(anything))
        sent = json.dumps(body).encode()
    else:
        sent = data.draw(st.binary(max_size=200))
    try:
        under.become(sent)
    except (TurnedDown, Unmapped, Unanswered) as error:
        assert "example.com" not in str(error)


@pytest.mark.parametrize("name", [name for name in platforms.names() if platforms.named(name).answers])
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_answered_is_understood_or_not(name: str, data: st.DataObject) -> None:
    """Good answers of which one part is anything."""
    under = platform(name)
    random = data.draw(st.randoms(use_true_random=False)).random
    put(under.answers[data.draw(st.sampled_from(sorted(under.answers)))], random, data.draw(anything))
    try:
        under.become(under.good)
    except Unanswered as error:
        assert "example.com" not in str(error)


def put(body: Any, random: Any, value: Any) -> None:
    """Replace something within."""
    while isinstance(body, dict | list) and body:
        at = list(body)[int(random() * len(body))] if isinstance(body, dict) else int(random() * len(body))
        if not isinstance(body[at], dict | list) or not body[at] or random() < 0.2:
            body[at] = value
            return
        body = body[at]
