"""Segments are shown as the response that was produced first spells them, whatever comes when and in which batch."""

import json
from collections.abc import Iterable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas import topics
from npsflow.schemas.deltas import (
    PANE,
    TICK,
    Spelling,
    decode_tick,
    delta_key,
    encode_deltas,
    encode_tick,
    spelling_headers,
    spellings_of,
)
from npsflow.schemas.times import DAY, MINUTE
from npsflow.streams.config.sections import Segments, Windows
from npsflow.streams.config.settings import Settings
from npsflow.streams.windows.stage import Rollup
from tests.strategies import NOW, plans
from tests.streams.folding import Record, Task, run, windows

NEWEST = Record(TICK, encode_tick(NOW))
STAGE = Rollup(Settings().window_settings("npsflow/t."))


def spelled(*spellings: Spelling) -> Record:
    return Record(TICK, encode_tick(0), headers=spelling_headers(spellings))


def counted(dimensions: Sequence[str], *values: str, metric: str = "nps", at: int = NOW, count: int = 1) -> Record:
    scale = "0-10" if metric == "nps" else "1-5"
    return Record(delta_key(metric, scale, dimensions), encode_deltas({values: [at // PANE, 5, count]}))


def shown(task: Task) -> list[dict[str, str]]:
    """The segments of the windows that stand, each once."""
    found = [json.loads(value)["segment"] for value in windows(task.committed).values()]
    return [segment for at, segment in enumerate(found) if segment not in found[:at]]


def rolled(*records: Record, settings: Settings | None = None) -> Task:
    task = Task(Rollup((settings or Settings()).window_settings("npsflow/t.")))
    for record in (NEWEST, *records):
        task.take(record)
        task.commit(NOW)
    return task


FIRST = Spelling("channel", "e-mail", "E-Mail", NOW, 7)
NEXT = Spelling("channel", "e-mail", "e-MAIL", NOW, 8)
LATER = Spelling("channel", "e-mail", "e-mail", NOW + 1, 0)
MUCH_LATER = Spelling("channel", "e-mail", "E-MAIL", NOW + MINUTE, 0)


@pytest.mark.parametrize("order", [*permutations((FIRST, NEXT, LATER, MUCH_LATER))])
def test_the_first_that_was_produced_stands_whatever_comes_first(order: tuple[Spelling, ...]) -> None:
    task = rolled(counted(["channel"], "e-mail"), *map(spelled, order))
    assert shown(task) == [{"channel": "E-Mail"}]
    assert {json.loads(key or b"")[2]["channel"] for key in windows(task.committed)} == {"e-mail"}
    task.restore()
    task.take(spelled(NEXT, LATER, MUCH_LATER))
    assert task.commit(NOW) == []
    task.take(counted(["channel"], "e-mail"))
    task.commit(NOW)
    assert shown(task) == [{"channel": "E-Mail"}]


def test_all_windows_of_a_segment_are_published_anew_and_no_other() -> None:
    task = rolled(*(counted(["channel"], value) for value in ("e-mail", "chat")))
    task.take(counted(["channel"], "e-mail", at=NOW - 20 * DAY))
    task.take(spelled(FIRST))
    written = [json.loads(o.value or b"") for o in task.commit(NOW) if o.topic == topics.WINDOWS]
    assert sorted(window["window"] for window in written) == ["1h", "24h", "30d", "7d"]
    assert {window["segment"]["channel"] for window in written} == {"E-Mail"}


def test_all_metrics_and_pairs_show_a_value_alike() -> None:
    task = rolled(
        spelled(FIRST, Spelling("tier", "plus", "Plus", NOW, 9)),
        counted(["channel"], "e-mail"),
        counted(["channel"], "e-mail", metric="csat"),
        counted(["tier", "channel"], "plus", "e-mail"),
        counted(["department"], "e-mail"),
    )
    assert shown(task) == [{"channel": "E-Mail"}, {"tier": "Plus", "channel": "E-Mail"}, {"department": "e-mail"}]


def test_the_spelling_of_an_alias_is_that_of_the_settings() -> None:
    settings = Settings(aliases={"channel": {"mail": " e-MAIL "}})
    task = rolled(spelled(FIRST), counted(["channel"], "e-mail"), settings=settings)
    assert shown(task) == [{"channel": "e-MAIL"}]


def test_no_more_spellings_are_kept_than_values_can_be_counted() -> None:
    settings = Settings(segments=Segments(max_values=1), windows=Windows(lengths=["1h"]))
    many = [Spelling("channel", f"c{n}", f"C{n}", NOW, n) for n in range(50)]
    task = rolled(spelled(*many), spelled(FIRST), counted(["channel"], "e-mail"), settings=settings)
    assert shown(task) == [{"channel": "e-mail"}]
    assert sum(key.startswith(b"spelled:") for key in task.state) == 10


def test_a_version_that_knows_no_spellings_reads_a_tick_without_time() -> None:
    record = spelled(FIRST)
    assert decode_tick(record.value or b"") == 0
    assert spellings_of(record.headers) == [FIRST]
    assert spellings_of([("other", b"")]) == []


spellings = st.builds(
    Spelling, st.just("channel"), st.just("e-mail"), st.sampled_from(["E-Mail", "e-mail", "E-MAIL"]),
    st.sampled_from([0, 1, MINUTE]), st.integers(0, 3),
)  # fmt: skip


def records_of(sent: Iterable[Spelling]) -> list[Record]:
    return [NEWEST] + [record for spelling in sent for record in (spelled(spelling), counted(["channel"], "e-mail"))]


several = st.lists(spellings, min_size=1, max_size=6, unique_by=lambda s: s.order)


@given(several.flatmap(lambda sent: st.tuples(st.just(sent), st.permutations(sent))), plans)
def test_any_order_commits_and_restarts_show_the_same(
    orders: tuple[list[Spelling], list[Spelling]], plan: list[str]
) -> None:
    sent, shuffled = orders
    task, _ = run(STAGE, records_of(shuffled), plan)
    plain, _ = run(STAGE, records_of(sent))
    assert windows(task.committed) == windows(plain.committed)
    assert set(task.state.items()) == set(plain.state.items())
    first = min(sent, key=lambda s: s.order)
    assert shown(task) == [{"channel": first.spelled}]
