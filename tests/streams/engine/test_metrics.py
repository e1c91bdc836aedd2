"""Everything that is counted in a fold arrives in a metric."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from npsflow.agents.demo import sample
from npsflow.streams import topology
from npsflow.streams.classify.counters import OUTCOMES
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.counters import decode_counters
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import FRESH, Metrics
from npsflow.streams.engine.observer import (
    Accepted,
    CommitFailed,
    Committed,
    Dropped,
    Lagging,
    Lost,
    Paused,
    Released,
    Restored,
    TaskId,
)
from npsflow.streams.windows.stage import Rollup
from tests.strategies import END
from tests.streams.folding import Record, panes, run
from tests.streams.recovery.recovering import World

STAGES = [topology.make_stage(name, Settings(), Installation()) for name in topology.STAGES]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), STAGES)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def total(metrics: Metrics, name: str) -> float:
    return sum(s.value for family in metrics.registry.collect() for s in family.samples if s.name == name)


def test_what_the_sample_counts_adds_up(metrics: Metrics) -> None:
    log = [Record(line.key, line.value, n) for n, line in enumerate(sample.sample(7, 2_000, END))]
    task, whole = run(Classify(Settings().classify_settings("npsflow/", 1)), log)
    rolled, _ = run(Rollup(Settings().window_settings("npsflow/")), panes(task.committed))
    metrics.count("classify", task.fold.counters)
    metrics.count("rollup", rolled.fold.counters)
    metrics.show(TaskId("classify", 0), task.fold.gauges())
    metrics.show(TaskId("rollup", 0), rolled.fold.gauges())
    counters = task.counters
    assert total(metrics, "npsflow_records_total") == len(whole)
    for outcome in OUTCOMES:
        assert value(metrics, "npsflow_records_total", outcome=outcome) == counters[outcome] > 0
    assert total(metrics, "npsflow_dead_letters_total") == counters["dead"]
    both = total(metrics, "npsflow_responses_total") + total(metrics, "npsflow_corrections_total")
    assert both == counters["counted"]
    assert total(metrics, "npsflow_responses_total") > total(metrics, "npsflow_corrections_total") > 0
    assert total(metrics, "npsflow_warnings_total") > 0
    assert total(metrics, "npsflow_accepted_total") == counters["counted"] + counters["test"]
    raised = value(metrics, "npsflow_alerts_total", type="npsflow.alert.raised.v1")
    assert raised == counters["event:npsflow.alert.raised.v1"]
    assert total(metrics, "npsflow_follow_ups_total") > 0
    assert (
        value(metrics, "npsflow_remembered_responses", partition="0") == task.fold.gauges()["remembered_responses", "0"]
    )
    assert total(metrics, "npsflow_window_responses") > 0


def test_gauges_of_a_partition_that_is_elsewhere_are_gone(metrics: Metrics) -> None:
    for partition in range(2):
        metrics.show(TaskId("classify", partition), {("remembered_responses", str(partition)): 5})
        metrics.observe(Paused(TaskId("classify", partition), {}))
        metrics.observe(Lagging(TaskId("classify", partition), 7))
    metrics.show(TaskId("rollup", 1), {("window_responses", "nps", "0-10", "1h", "promoter"): 3})
    metrics.observe(Released(TaskId("classify", 1)))
    for name in ("remembered_responses", "paused", "lag_records"):
        (sample,) = (s for f in metrics.registry.collect() for s in f.samples if s.name == f"npsflow_{name}")
        assert sample.labels["partition"] == "0"
    assert total(metrics, "npsflow_window_responses") == 3
    metrics.observe(Released(TaskId("rollup", 1)))
    assert total(metrics, "npsflow_window_responses") == 0


def test_a_lag_that_nobody_measures_any_more_is_not_shown() -> None:
    now = 0.0
    metrics = Metrics(CollectorRegistry(), STAGES, clock=lambda: now)
    for partition in range(2):
        metrics.observe(Lagging(TaskId("classify", partition), 7))
    now += FRESH
    assert value(metrics, "npsflow_lag_records", stage="classify", partition="1") == 7
    metrics.observe(Lagging(TaskId("classify", 0), 8))
    now += 1
    assert value(metrics, "npsflow_lag_records", stage="classify", partition="0") == 8
    assert value(metrics, "npsflow_lag_records", stage="classify", partition="1") is None
    metrics.observe(Released(TaskId("classify", 1)))
    metrics.observe(Lagging(TaskId("classify", 1), 0))
    assert value(metrics, "npsflow_lag_records", stage="classify", partition="1") == 0


def test_a_platform_may_call_itself_anything(metrics: Metrics) -> None:
    metrics.count("classify", decode_counters(STAGES[0].counters, {'dead:invalid_time:a:b"\n': 2}))
    assert value(metrics, "npsflow_dead_letters_total", reason="invalid_time", source='a:b"\n') == 2
    assert rb'source="a:b\"\n"' in generate_latest(metrics.registry)


def test_what_is_of_no_outcome_is_no_record(metrics: Metrics) -> None:
    metrics.count("rollup", {("ticks",): 3, ("deltas",): 4, ("over_cap",): 5})
    metrics.count("classify", {("paused",): 1, ("misplaced", "shop"): 6, ("", "forwarded"): 7})
    assert total(metrics, "npsflow_records_total") == 7
    assert total(metrics, "npsflow_segment_values_over_cap_total") == 5
    assert total(metrics, "npsflow_misplaced_records_total") == 6


def test_two_workers_in_one_process_do_not_share_figures(metrics: Metrics) -> None:
    other = Metrics(CollectorRegistry(), STAGES)
    other.count("classify", {("", "counted"): 3})
    assert (total(metrics, "npsflow_records_total"), total(other, "npsflow_records_total")) == (0, 3)


def test_what_recover_counts_arrives_too(metrics: Metrics) -> None:
    world = World()
    for customer in ("C-1", "C-2"):
        world.respond(2, customer)
    world.act("contact", "C-2")
    world.wait(25)
    world.act("contact")  # the one of C-1, which was warned of last
    world.wait(24 * 7)
    metrics.count("recover", world.recover.fold.counters)
    metrics.show(TaskId("recover", 0), world.recover.fold.gauges())
    assert value(metrics, "npsflow_first_contacts_total", when="in_time") == 1
    assert value(metrics, "npsflow_first_contacts_total", when="late") == 1
    assert value(metrics, "npsflow_overdue_cases", partition="0") == 2
    assert value(metrics, "npsflow_cases", partition="0", status="contacted") == 2
    assert value(metrics, "npsflow_case_events_total", type="opened") == 2
    metrics.observe(Released(TaskId("recover", 0)))
    assert value(metrics, "npsflow_overdue_cases", partition="0") is None


def test_what_happens_to_a_task_arrives(metrics: Metrics) -> None:
    task = TaskId("classify", 3)
    metrics.observe(Committed(task, 0.02, 5_000, {("", "counted"): 2}, {("remembered_responses", "3"): 9}, 120))
    metrics.observe(CommitFailed(task, 7.0))
    metrics.observe(Dropped(task, {}, RuntimeError()))
    metrics.observe(Lost(task, "survey-responses", 3, 8))
    metrics.observe(Restored(task, 0.5, {}, kept=False))
    metrics.observe(Paused(task, {}))
    assert value(metrics, "npsflow_commits_total", stage="classify") == 1
    assert value(metrics, "npsflow_commit_seconds_count", stage="classify") == 2
    assert value(metrics, "npsflow_stream_time_seconds", stage="classify", partition="3") == 5
    assert value(metrics, "npsflow_records_total", outcome="counted") == 2
    assert value(metrics, "npsflow_remembered_responses", partition="3") == 9
    assert value(metrics, "npsflow_alert_seconds_sum") == pytest.approx(0.12)
    assert value(metrics, "npsflow_task_failures_total", stage="classify") == 1
    assert value(metrics, "npsflow_lost_records_total", stage="classify", topic="survey-responses") == 5
    assert value(metrics, "npsflow_restore_seconds_sum", stage="classify") == 0.5
    assert value(metrics, "npsflow_paused", partition="3") == 1
    metrics.observe(Accepted(task))
    assert value(metrics, "npsflow_paused", partition="3") == 0
