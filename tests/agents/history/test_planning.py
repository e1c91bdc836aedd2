"""What is sent and in which order, and what the report says will become of it."""

import csv
import io
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from npsflow.agents.history.entries import Entry, ExportFile, RefusedEntry
from npsflow.agents.history.planning import Plan, Planner
from npsflow.agents.history.report import StreamTimes, lines, sendable
from npsflow.schemas.partitioner import partition_of
from npsflow.schemas.times import DAY, rfc3339
from npsflow.streams.intake.mapping import Submission
from npsflow.streams.scoring.scores import Scales
from tests.agents.platforms.conformance import FIXTURES
from tests.agents.platforms.exports import METRICS, export, plan, values

NOW = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
HORIZON = 35 * DAY


def entry(number: int, days: float, score: int, customer: str | None = "C-1", response_id: str = "") -> Entry:
    """A response so many days ago."""
    content = {"score": score, "survey_type": "nps", "person_properties": {"Customer ID": customer}}
    at = rfc3339(NOW - int(days * DAY))
    return Entry(number, "", [Submission("f", response_id or f"r{number}", at, content=content)])


def planned(*entries: Entry | RefusedEntry) -> Plan:
    under = export("delighted")
    return Planner(under.entrance(), under.export, Scales(), METRICS).plan(entries)


def report(plan: Plan, times: StreamTimes, missing: list[str] | None = None, done: bool = False) -> list[str]:
    file = ExportFile("line", "", missing or [], iter(()), ["line 99 is below the table, and is no answer"])
    sent = sendable(plan, times, HORIZON)
    report = lines(plan, sent, times, horizon=HORIZON, now=NOW, done=done, file=file)
    return [" ".join(line.split()) for line in report]


@given(st.data())
def test_any_order_of_lines_sends_the_same_records(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "shuffled.csv"
    header, *rows = csv.reader(io.StringIO((FIXTURES / "delighted" / "export" / "export.csv").read_text()))
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
    assert {record.load() for record in one.records} == {record.load() for record in other.records}
    assert len(one.records) == len(other.records) == len(ids)
    for made, order in ((one, ids), (other, shuffled)):
        assert all(before.at <= after.at for before, after in pairwise(made.records))
        for time in set(times.values()):  # what is of the same time stays as it stands in the file
            of_time = [int(r["response_id"]) for r in values(made) if r["submitted_at"] == f"2026-03-01T{time}Z"]
            assert of_time == [id_ for id_ in order if times[id_] == time]


def test_the_report_tells_stale_alerts_from_fresh_ones() -> None:
    made = planned(
        entry(1, 20, 1), entry(2, 19, 4), entry(3, 18, 6), entry(4, 18, 9), entry(5, 7.01, 0), entry(6, 6.99, 0),
        entry(7, 1, 6, customer=None), entry(8, 0.5, 6, response_id="r7"), entry(9, 0, 8),
    )  # fmt: skip
    printed = report(made, StreamTimes({}, 4))
    assert "9 responses would be sent: nps, 2026-02-09 to 2026-03-01" in printed
    assert (
        "4 alerts at most would be stale, not actionable: older than seven days (critical 2, high 1, medium 1)"
        in printed
    )
    assert "1 of these would be overdue already: over a day old; nobody is warned of that" in printed
    assert "2 follow-ups at most would be sent to subscribers" in printed
    # r7 twice is one alert
    assert "2 alerts at most would be fresh and reach subscribers now (critical 1, medium 1)" in printed
    assert any(line.startswith("9 responses sent: nps") for line in report(made, StreamTimes({}, 4), done=True))


def test_the_report_tells_who_cannot_be_reached() -> None:
    printed = report(planned(entry(1, 1, 2, customer=None)), StreamTimes({}, 4))
    fresh = "1 alerts at most would be fresh and reach subscribers now (critical 1)"
    assert f"{fresh}; 1 without a contact, not actionable" in printed


def test_what_the_running_system_would_refuse_is_not_sent() -> None:
    entries = [entry(n, days, 9) for n, days in enumerate((90, 50, 36, 34.9, 0))]
    made = planned(*entries)
    nothing = StreamTimes({}, 2)
    assert len(sendable(made, nothing, HORIZON)) == 5
    assert "3 more than 35 days before the newest: counted in passing, not to be corrected afterwards" in report(
        made, nothing
    )
    everywhere = StreamTimes({0: NOW, 1: NOW}, 2)
    assert [record.at for record in sendable(made, everywhere, HORIZON)] == [made.records[3].at, made.records[4].at]
    printed = report(made, everywhere)
    assert "3 not sent: more than 35 days before what npsflow has seen; they would be dead letters" in printed
    assert "2 responses would be sent: nps, 2026-01-25 to 2026-03-01" in printed
    # Each partition has a stream time of its own.
    (here,) = {partition_of(made.records[0].key, 2)}
    half = StreamTimes({here: NOW}, 2)
    assert made.records[0] not in sendable(made, half, HORIZON)
    assert len(sendable(made, half, HORIZON)) == 5 - sum(
        partition_of(record.key, 2) == here for record in made.records[:3]
    )


def test_the_report_names_refused_lines_and_nothing_of_them() -> None:
    refused = [
        RefusedEntry(n, "secret@example.com", "ragged", "1 columns where the header has 2") for n in range(2, 32)
    ]
    printed = report(planned(*refused, entry(40, 1, 99)), StreamTimes({}, 1, "no broker"), ["person.email"])
    assert "31 lines refused" in printed
    assert "line 99 is below the table, and is no answer" in printed
    assert "line 2: ragged: 1 columns where the header has 2" in printed
    assert "line 22: ragged: 1 columns where the header has 2" not in printed
    assert printed[-3:] == ["and 11 more, by reason:", "30 ragged", "1 score_out_of_range"]
    assert "how far npsflow is, is not known: no broker" in printed
    assert "no column is person.email: what came by webhook with them would lose them" in printed
    assert "secret" not in " ".join(printed)
