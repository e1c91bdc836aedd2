"""Everything that is counted in a fold arrives in a metric."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from npsflow.agents.demo import sample
from npsflow.streams.classification import OUTCOMES, Classify
from npsflow.streams.metrics import Metrics
from npsflow.streams.rollup import Rollup
from npsflow.streams.settings import Settings
from tests.strategies import END

from .folding import Record, panes, run


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def total(metrics: Metrics, name: str) -> float:
    return sum(s.value for family in metrics.registry.collect() for s in family.samples if s.name == name)


def test_what_the_sample_counts_adds_up(metrics: Metrics) -> None:
    log = [Record(line.key, line.value, n) for n, line in enumerate(sample.sample(7, 2_000, END))]
    task, whole = run(Classify(Settings().meaning("", 1)), log)
    rolled, _ = run(Rollup(Settings().rolling("")), panes(task.committed))
    metrics.count(task.counters)
    metrics.count(rolled.counters)
    metrics.show(0, task.fold.gauges())
    metrics.show(0, rolled.fold.gauges())
    counters = task.counters
    assert total(metrics, "npsflow_records_total") == len(whole)
    for outcome in OUTCOMES:
        assert value(metrics, "npsflow_records_total", outcome=outcome) == counters[outcome] > 0
    assert total(metrics, "npsflow_dead_letters_total") == counters["dead"]
    both = total(metrics, "npsflow_responses_total") + total(metrics, "npsflow_corrections_total")
    assert both == counters["counted"]
    assert total(metrics, "npsflow_responses_total") > total(metrics, "npsflow_corrections_total") > 0
    assert total(metrics, "npsflow_warnings_total") > 0
    raised = value(metrics, "npsflow_alerts_total", type="npsflow.alert.raised.v1")
    assert raised == counters["event:npsflow.alert.raised.v1"]
    assert total(metrics, "npsflow_follow_ups_total") > 0
    assert value(metrics, "npsflow_remembered_responses", partition="0") == task.fold.gauges()["remembered",]
    assert total(metrics, "npsflow_window_responses") > 0


def test_platforms_beyond_fifty_share_a_label(metrics: Metrics) -> None:
    for number in range(60):
        metrics.count({f"dead:not_json:p{number}": 1, "dead:not_json:": 1, "dead": 2})
    sources = [
        s.labels["source"]
        for f in metrics.registry.collect()
        for s in f.samples
        if s.name == "npsflow_dead_letters_total"
    ]
    assert len(set(sources)) <= 52
    assert value(metrics, "npsflow_dead_letters_total", reason="not_json", source="unknown") == 60
    assert total(metrics, "npsflow_dead_letters_total") == 120
    assert value(metrics, "npsflow_records_total", outcome="dead") == 120


def test_a_platform_may_call_itself_anything(metrics: Metrics) -> None:
    metrics.count({'dead:invalid_time:a:b"\n': 2})
    assert value(metrics, "npsflow_dead_letters_total", reason="invalid_time", source='a:b"\n') == 2
    assert rb'source="a:b\"\n"' in generate_latest(metrics.registry)


def test_what_is_of_no_outcome_is_no_record(metrics: Metrics) -> None:
    metrics.count({"ticks": 3, "deltas": 4, "paused": 1, "over_cap": 5, "foreign_partitioner": 6, "forwarded": 7})
    assert total(metrics, "npsflow_records_total") == 7
    assert total(metrics, "npsflow_segment_values_over_cap_total") == 5
    assert total(metrics, "npsflow_foreign_partitioner_total") == 6


def test_two_workers_in_one_process_do_not_share_figures(metrics: Metrics) -> None:
    other = Metrics(CollectorRegistry())
    other.count({"counted": 3})
    assert (total(metrics, "npsflow_records_total"), total(other, "npsflow_records_total")) == (0, 3)
