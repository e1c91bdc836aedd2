"""Counts on their way to roll up: what is collected arrives, whatever cancels out and however it is cut."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas.deltas import decode_deltas, decode_tick, encode_deltas, encode_tick, parse_delta_key
from npsflow.streams.classify.deltas import PaneCount, PaneCounts
from npsflow.streams.scoring.segments import Name, Names, pack_segments, unpack_segments
from npsflow.streams.stage import Output

NAMES: list[Name] = [
    ("nps", "0-10", ()),
    ("nps", "0-10", (("channel", "chat"),)),
    ("nps", "0-10", (("channel", "é-mail"),)),
    ("nps", "0-10", (("channel", "chat"), ("tier", "plus"))),
    ("csat", "1-5", (("channel", "chat"),)),
]
Sent = list[tuple[str, int, bytes, bytes]]
Total = Counter[tuple[Name, int, int]]

some_cells = st.builds(
    PaneCount,
    st.integers(-3, 3),
    st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True).map(pack_segments),
    st.integers(0, 1000),
)


def collector(**limit: int) -> PaneCounts:
    names = Names()
    for name in NAMES:
        names.number(name)
    return PaneCounts(names, len, **limit)


def send(collected: PaneCounts) -> Sent:
    sent: Sent = []

    def emit(output: Output) -> None:
        sent.append((output.topic, output.partition, output.key or b"", output.value or b""))

    collected.send(emit)
    return sent


def total(sent: Sent) -> Total:
    found: Total = Counter()
    for topic, partition, key, value in sent:
        assert (topic, partition) == ("nps-panes", len(key))
        metric, scale, dimensions = parse_delta_key(key)
        for values, flat in decode_deltas(value):
            name = metric, scale, tuple(zip(dimensions, values, strict=True))
            for pane, score, count in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                assert count
                found[name, pane, score] += count
    return found


@given(st.lists(some_cells, max_size=20), st.lists(some_cells, max_size=20), st.integers(1, 4))
def test_what_was_added_and_taken_back_arrives(plus: list[PaneCount], minus: list[PaneCount], most: int) -> None:
    collected, expected = collector(max_numbers=3 * most), Total()
    for sign, given_cells, collect in ((1, plus, collected.add), (-1, minus, collected.take_back)):
        for cell in given_cells:
            collect(cell)
            for number in unpack_segments(cell.segments):
                expected[NAMES[number], cell.pane, cell.score] += sign
    sent = send(collected)
    assert total(sent) == {cell: count for cell, count in expected.items() if count}
    assert send(collected) == []


def test_one_record_for_all_values_of_a_dimension() -> None:
    collected = collector()
    collected.add(PaneCount(1, pack_segments((0, 1, 2, 3, 4)), 5))
    keys = [key for _, _, key, _ in send(collected)]
    assert sorted(keys) == [
        b'["csat","1-5",["channel"]]',
        b'["nps","0-10",["channel","tier"]]',
        b'["nps","0-10",["channel"]]',
        b'["nps","0-10",[]]',
    ]


def test_no_record_grows_beyond_what_a_broker_takes() -> None:
    names = Names()
    collected = PaneCounts(names, len)
    numbers = [names.number(("nps", "0-10", (("channel", f"{n:-<128}"),))) for n in range(2_000)]
    for pane in range(100):
        for at in range(0, len(numbers), 100):
            collected.add(PaneCount(pane, pack_segments(numbers[at : at + 100]), 10))
    sent = send(collected)
    assert len(sent) > 1
    assert all(len(value) < 1_000_000 for _, _, _, value in sent)
    assert sum(total(sent).values()) == 200_000


@given(st.dictionaries(st.tuples(st.text(st.characters(codec="utf-8"))), st.lists(st.integers(-(2**40), 2**40))))
def test_deltas_are_read_as_they_were_written(by_values: dict[tuple[str, ...], list[int]]) -> None:
    assert dict(decode_deltas(encode_deltas(by_values))) == by_values


def test_ticks_and_versions_of_the_format() -> None:
    assert decode_tick(encode_tick(1_772_377_620_000)) == 1_772_377_620_000
    with pytest.raises(ValueError, match="format 2 "):
        decode_deltas(b"\x92\x02\x90")
