"""Counters that alarm rules watch are there at 0 before anything is counted."""

import pytest
from prometheus_client import CollectorRegistry

from npsflow.agents.fetch.metrics import Metrics as FetchMetrics
from npsflow.agents.intake import metrics as intake
from npsflow.agents.notify.kind import OUTCOMES
from npsflow.agents.notify.metrics import Metrics as NotifyMetrics
from npsflow.streams import topology
from npsflow.streams.classify.counters import DEAD, SOURCE
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.metrics import Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_of_a_worker(registry: CollectorRegistry) -> None:
    stages = [topology.make_stage(name, Settings(), Installation()) for name in topology.STAGES]
    metrics = Metrics(registry, stages)
    for name, labels in (
        ("records_total", {"outcome": "dead"}),
        ("alerts_total", {"type": "npsflow.alert.raised.v1"}),
        ("task_failures_total", {"stage": "recover"}),
        ("commits_total", {"stage": "rollup"}),
        ("case_events_total", {"type": "breached"}),
        ("recover_records_total", {"kind": "dead"}),
        ("first_contacts_total", {"when": "late"}),
    ):
        assert registry.get_sample_value(f"npsflow_{name}", labels) == 0

    dead = {"reason": "too_late", "source": "shop"}
    assert registry.get_sample_value("npsflow_dead_letters_total", dead) is None  # nobody knows this platform yet
    metrics.count("classify", {(SOURCE, "shop"): 1})
    assert registry.get_sample_value("npsflow_dead_letters_total", dead) == 0
    metrics.count("classify", {(DEAD, "too_late", "shop"): 2})
    assert registry.get_sample_value("npsflow_dead_letters_total", dead) == 2
    unknown = {"reason": "not_json", "source": "unknown"}
    assert registry.get_sample_value("npsflow_dead_letters_total", unknown) == 0


def test_of_intake_fetch_and_notifiers(registry: CollectorRegistry) -> None:
    entrances = intake.Metrics(registry)
    entrances.begin(["shop"])
    for outcome in intake.OUTCOMES:
        assert registry.get_sample_value("npsflow_intake_requests_total", {"entrance": "shop", "outcome": outcome}) == 0
    FetchMetrics(registry).begin("shop")
    assert registry.get_sample_value("npsflow_fetches_total", {"entrance": "shop", "outcome": "refused"}) == 0
    NotifyMetrics(registry).begin("desk", OUTCOMES.values())
    assert registry.get_sample_value("npsflow_notify_given_up_total", {"notifier": "desk"}) == 0
    for outcome in OUTCOMES.values():
        assert (
            registry.get_sample_value("npsflow_notify_deliveries_total", {"notifier": "desk", "outcome": outcome}) == 0
        )
