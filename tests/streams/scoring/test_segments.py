"""Which segments a response is counted in, and their numbers."""

from collections import Counter
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.response import Customer, Response
from npsflow.streams.scoring.scores import DEFAULT_SCALES
from npsflow.streams.scoring.segments import (
    Names,
    Segment,
    Segmenter,
    count_segments,
    is_dimension,
    normal,
    pack_segments,
    unpack_segments,
)

SCALE = DEFAULT_SCALES["nps"]


def answer(**fields: Any) -> Response:
    return Response("1", "s", "q", "nps", 2, datetime(2026, 3, 1, tzinfo=UTC), **fields)


def found(segmenter: Segmenter, names: Names, response: Response) -> list[Segment]:
    packed, new = segmenter.find(response, SCALE)
    segmenter.learn(new)
    assert segmenter.find(response, SCALE) in ((packed, ()), (packed, []))
    numbers = unpack_segments(packed)
    assert all(names.by_number[number][:2] == ("nps", "0-10") for number in numbers)
    return [names.by_number[number][2] for number in numbers]


def test_overall_then_each_dimension_that_is_there_then_pairs() -> None:
    names = Names()
    dimensions = ["tier", "channel", "attributes.plan", "department"]
    segmenter = Segmenter(names, dimensions, [("channel", "tier"), ("department", "channel")])
    whole = answer(channel=" Chat ", customer=Customer(tier="PLUS"), attributes={"plan": 3}, department=" ")
    tier, channel = ("tier", "plus"), ("channel", "chat")
    expected: list[Segment] = [(), (tier,), (channel,), (("attributes.plan", "3"),), (channel, tier)]
    for _ in range(2):  # learnt, then known
        segments = found(segmenter, names, whole)
        assert (segments[0], sorted(segments)) == ((), sorted(expected))
    assert found(segmenter, names, answer()) == [()]
    assert found(segmenter, names, answer(customer=Customer(), attributes={})) == [()]


@pytest.mark.parametrize("dimensions", [[], ["channel"], ["tier"], ["channel", "department", "tier", "survey_id"]])
def test_however_many_dimensions_there_are(dimensions: list[str]) -> None:
    names = Names()
    response = answer(channel="chat", department="sales", customer=Customer(tier="plus"))
    assert len(found(Segmenter(names, dimensions), names, response)) == 1 + len(dimensions)


def test_values_are_trimmed_and_folded_before_they_are_cut() -> None:
    assert normal("  Straße\t") == "strasse"
    assert normal(" " * 200 + "x") == "x"
    assert normal("ß" * 128) == "s" * 128
    assert normal("x" * 129) == "x" * 128


def test_aliases_are_compared_and_counted_as_all_values_are() -> None:
    names = Names()
    segmenter = Segmenter(names, ["channel", "department"], [], {"channel": {" E-Mail": "Email "}})
    assert found(segmenter, names, answer(channel="e-mail")) == [(), (("channel", "email"),)]
    assert found(segmenter, names, answer(department="e-mail")) == [(), (("department", "e-mail"),)]


def test_what_is_new_says_how_it_is_spelled_until_it_is_learned() -> None:
    segmenter = Segmenter(Names(), ["channel", "department"], [("channel", "department")], {"channel": {"mail": "e"}})

    def spelled(response: Response, *, learn: bool = True) -> list[tuple[str, str, str]]:
        *_, new = segmenter.find(response, SCALE)
        if learn:
            segmenter.learn(new)
        return [(value.dimension, value.value, value.spelled) for value in new if value.spelled]

    sales = ("department", "sales", "SALES")
    assert spelled(answer(channel="Mail", department=" SALES "), learn=False) == [sales]  # of an alias nothing
    assert spelled(answer(channel="Mail", department=" SALES ")) == [sales]
    assert spelled(answer(channel="Mail", department=" SALES ")) == []
    assert spelled(answer(channel=" ", department="Sales")) == [("department", "sales", "Sales")]
    assert spelled(answer(department="x" * 200)) == [("department", "x" * 128, "x" * 128)]


def test_equal_values_of_different_dimensions_are_different_segments() -> None:
    names = Names()
    segmenter = Segmenter(names, ["channel", "department"])
    assert found(segmenter, names, answer(channel="x")) == [(), (("channel", "x"),)]
    assert found(segmenter, names, answer(department="x")) == [(), (("department", "x"),)]


def test_numbers_and_truth_are_different_values() -> None:
    names = Names()
    segmenter = Segmenter(names, ["attributes.plan"])
    for value, text in ((1, "1"), (True, "true"), (1.0, "1.0"), (False, "false"), (0, "0")):
        assert found(segmenter, names, answer(attributes={"plan": value})) == [(), (("attributes.plan", text),)]


def test_more_values_than_are_kept_at_hand() -> None:
    names = Names()
    segmenter = Segmenter(names, ["channel", "department"], max_values=3)
    for at in [*range(10), *range(10)]:
        expected = [(), (("channel", str(at)),), (("department", str(at)),)]
        assert found(segmenter, names, answer(channel=str(at), department=str(at))) == expected
    assert len(names.by_number) == 21


def test_numbers_that_do_not_fit_into_two_bytes() -> None:
    names = Names()
    known = Segmenter(names, ["channel", "department"])
    assert found(known, names, answer(channel="a", department="b")) == [(), (("channel", "a"),), (("department", "b"),)]
    for at in range(0x10000):
        names.number(("ces", "1-7", (("channel", str(at)),)))
    for segmenter in (known, Segmenter(names, ["channel", "department"])):
        for channel in ("a", "wide", "a", "wide"):
            expected = [(), (("channel", channel),), (("department", "b"),)]
            assert found(segmenter, names, answer(channel=channel, department="b")) == expected
            assert found(segmenter, names, answer(channel=channel)) == expected[:2]
    late = DEFAULT_SCALES["csat"]
    packed, new = known.find(answer(channel="a"), late)
    known.learn(new)
    assert known.find(answer(channel="a"), late) == (packed, [])
    assert min(unpack_segments(packed)) > 0xFFFF


@given(st.lists(st.lists(st.integers(0, 0x1FFFF), min_size=1, max_size=9), max_size=20))
def test_all_numbers_are_counted(responses: list[list[int]]) -> None:
    assert count_segments(map(pack_segments, responses)) == Counter(chain.from_iterable(responses))


def test_scales_are_counted_apart() -> None:
    names = Names()
    segmenter = Segmenter(names, [])
    for scale in (SCALE, DEFAULT_SCALES["csat"], SCALE):
        segmenter.find(answer(), scale)
    assert names.by_number == [("nps", "0-10", ()), ("csat", "1-5", ())]


def test_names_come_back_from_the_changelog_in_any_order_and_keep_their_numbers() -> None:
    names, restored = Names(), Names()
    for value in "abc":
        names.number(("nps", "0-10", (("channel", value),)))
    records = names.dump()
    assert records[1] == (b"name:1", b'["nps","0-10",[["channel","b"]]]')
    assert names.dump() == []
    for at in (2, 0, 1):
        assert restored.restore(*records[at])
    assert restored.by_number == names.by_number
    assert [restored.number(name) for name in names.by_number] == [0, 1, 2]
    assert restored.dump() == []
    assert restored.number(("nps", "0-10", ())) == 3
    assert restored.dump() == [(b"name:3", b'["nps","0-10",[]]')]


def test_other_records_of_a_changelog_are_no_names() -> None:
    names = Names()
    assert not names.restore(b"p\0\0", b"")
    assert names.by_number == []


def test_what_can_be_a_dimension() -> None:
    assert all(map(is_dimension, ["survey_id", "tier", "account_id", "source", "attributes.region"]))
    assert not any(map(is_dimension, ["comment", "customer", "score", "email", "chanel", "attributes"]))
