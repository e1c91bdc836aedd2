"""Every stage that topology knows keeps what conformance.py says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npsflow.streams.topology import STAGES
from tests.streams import conformance
from tests.streams.conformance import RECORDS, make

plans = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["commit", "restart", "crash"])), max_size=10).map(
    lambda cuts: [step for gap, cut in cuts for step in [*["go"] * gap, cut]]
)
"""What to do after each record; nothing but at up to ten places."""

stages = pytest.mark.parametrize("name", STAGES)


@stages
@settings(max_examples=15)
@given(plans)
def test_restarts_and_cuts_anywhere(name: str, plan: list[str]) -> None:
    conformance.expect_no_trace_of_cuts(make(name), RECORDS[name](), plan)


@stages
@settings(max_examples=5)
@given(plans)
def test_a_replay_is_equal(name: str, plan: list[str]) -> None:
    conformance.expect_equal_replay(make(name), RECORDS[name](), plan)


@stages
@pytest.mark.parametrize(
    "expect",
    [
        conformance.expect_pure_reading,
        conformance.expect_dead_letter_of_crash,
        conformance.expect_empty_second_checkpoint,
        conformance.expect_rest,
        conformance.expect_counters_to_survive,
        conformance.expect_declared_outputs,
    ],
)
def test_folding(name: str, expect: conformance.Promise) -> None:
    expect(make(name), RECORDS[name]())


@stages
async def test_changelogs(name: str) -> None:
    await conformance.expect_restore_from_changelogs(make(name), RECORDS[name]())
    await conformance.expect_refused_changelogs(make(name), RECORDS[name]())
    conformance.expect_refused_positions(make(name))
