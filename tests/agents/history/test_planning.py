"""What is sent and in which order, and what the report says will become of it."""

import csv
import io
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from npsflow.agents.history import platforms
from npsflow.agents.history.export import Refused, Said
from npsflow.agents.history.planning import Plan, Planner
from npsflow.agents.history.reading import File
from npsflow.agents.history.report import Seen, lines, sendable
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, rfc3339
from npsflow.streams.intake.mapping import Submission
from npsflow.streams.scoring.scores import Scales

from .exports import FIXTURES, METRICS, entrance, plan, records

NOW = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
HORIZON = 35 * DAY


def said(number: int, days: float, score: int, customer: str | None = "C-1", response_id: str = "") -> Said:
    """A response so many days ago."""
    content = {"score": score, "survey_type": "nps", "person_properties": {"Customer ID": customer}}
    at = rfc3339(NOW - int(days * DAY))
    return Said(number, "", [Submission("f", response_id or f"r{number}", at, content=content)])


def planned(*entries: Said | Refused) -> Plan:
    return Planner(entrance("delighted"), platforms.named("delighted"), Scales(), METRICS).plan(entries)


def report(made: Plan, seen: Seen, missing: list[str] | None = None, done: bool = False) -> list[str]:
    told = lines(
        made, sendable(made, seen, HORIZON), seen, HORIZON, NOW, done, File("line", "", missing or [], iter(()))
    )
    return [" ".join(line.split()) for line in told]


@given(st.data())
def test_any_order_of_lines_sends_the_same_records(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "shuffled.csv"
    header, *rows = csv.reader(io.StringIO((FIXTURES / "delighted" / "export.csv").read_text()))
    ids = data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True))
    at = header.index("Created At")
    times = {id_: data.draw(st.sampled_from(["10:00:00", "10:00:01", "11:00:00", "09:59:59"])) for id_ in ids}

    def written(order: list[int]) -> Plan:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(header)
        for id_ in order:
            row = [str(id_), *rows[id_ % len(rows)][1:]]
            row[at], row[at + 1] = f"2026-03-01 {times[id_]}", ""
            writer.writerow(row)
        path.write_text(text.getvalue())
        return plan("delighted", path)

    shuffled = data.draw(st.permutations(ids))
    one, other = written(ids), written(shuffled)
    assert set(one.due) == set(other.due)
    assert len(one.due) == len(other.due) == len(ids)
    for made, order in ((one, ids), (other, shuffled)):
        assert all(before.at <= after.at for before, after in pairwise(made.due))
        for time in set(times.values()):  # what is of the same time stays as it stands in the file
            of_time = [int(r["response_id"]) for r in records(made) if r["submitted_at"] == f"2026-03-01T{time}Z"]
            assert of_time == [id_ for id_ in order if times[id_] == time]


def test_the_report_tells_stale_alerts_from_fresh_ones() -> None:
    made = planned(
        said(1, 20, 1), said(2, 19, 4), said(3, 18, 6), said(4, 18, 9), said(5, 7.01, 0), said(6, 6.99, 0),
        said(7, 1, 6, customer=None), said(8, 0.5, 6, response_id="r7"), said(9, 0, 8),
    )  # fmt: skip
    told = report(made, Seen({}, 4))
    assert "9 responses would be sent: nps, 2026-02-09 to 2026-03-01" in told
    assert (
        "4 alerts at most would be stale, not actionable: older than seven days (critical 2, high 1, medium 1)" in told
    )
    # r7 twice is one alert
    assert "2 alerts at most would be fresh and reach subscribers now (critical 1, medium 1)" in told
    assert any(line.startswith("9 responses sent: nps") for line in report(made, Seen({}, 4), done=True))


def test_the_report_tells_who_cannot_be_reached() -> None:
    told = report(planned(said(1, 1, 2, customer=None)), Seen({}, 4))
    fresh = "1 alerts at most would be fresh and reach subscribers now (critical 1)"
    assert f"{fresh}; 1 without a contact, not actionable" in told


def test_what_the_running_system_would_refuse_is_not_sent() -> None:
    entries = [said(n, days, 9) for n, days in enumerate((90, 50, 36, 34.9, 0))]
    made = planned(*entries)
    nothing = Seen({}, 2)
    assert len(sendable(made, nothing, HORIZON)) == 5
    assert "3 more than 35 days before the newest: counted in passing, not to be corrected afterwards" in report(
        made, nothing
    )
    everywhere = Seen({0: NOW, 1: NOW}, 2)
    assert [due.at for due in sendable(made, everywhere, HORIZON)] == [made.due[3].at, made.due[4].at]
    told = report(made, everywhere)
    assert "3 not sent: more than 35 days before what npsflow has seen; they would be dead letters" in told
    assert "2 responses would be sent: nps, 2026-01-25 to 2026-03-01" in told
    # Each partition has a stream time of its own.
    (here,) = {partition_of(made.due[0].key, 2)}
    half = Seen({here: NOW}, 2)
    assert made.due[0] not in sendable(made, half, HORIZON)
    assert len(sendable(made, half, HORIZON)) == 5 - sum(partition_of(due.key, 2) == here for due in made.due[:3])


def test_the_report_names_refused_lines_and_nothing_of_them() -> None:
    refused = [Refused(n, "secret@example.com", "ragged", "1 columns where the header has 2") for n in range(2, 32)]
    told = report(planned(*refused, said(40, 1, 99)), Seen({}, 1, "no broker"), ["person.email"])
    assert "31 lines refused" in told
    assert "line 2: ragged: 1 columns where the header has 2" in told
    assert "line 22: ragged: 1 columns where the header has 2" not in told
    assert told[-3:] == ["and 11 more, by reason:", "30 ragged", "1 score_out_of_range"]
    assert "how far npsflow is, is not known: no broker" in told
    assert "no column is person.email: what came by webhook with them would lose them" in told
    assert "secret" not in " ".join(told)
