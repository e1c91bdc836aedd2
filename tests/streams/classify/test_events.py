"""What the events about a response say, and under which key."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from npsflow.schemas import topics
from npsflow.schemas.partitioner import partition_of
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import Alerts, FollowUps, PromoterRule
from npsflow.streams.config.settings import Settings
from npsflow.streams.recovery.settings import Recovery
from npsflow.streams.stage import Output
from tests.strategies import NOW, own_key
from tests.streams.folding import Record, Task
from tests.support.responses import deletion, response

WHOLE: dict[str, Any] = {
    "survey_name": "After a call", "survey_kind": "transactional", "comment": "slow", "language": "nl",
    "answers": [{"question_id": "q2", "score": 3}], "channel": "Chat", "journey_stage": "use", "touchpoint": "call",
    "department": "sales", "team": "a", "agent_id": "7", "product": "x", "attributes": {"plan": True},
    "reference": {"type": "ticket", "id": "T-1"}, "response_url": "https://example.org/1", "contact_requested": True,
}  # fmt: skip
NOT_PUBLISHED: dict[str, Any] = {"question": "why?", "survey_version": "2", "invitation_id": "i", "internal": False}
PRIVATE = {"name": "Ann", "email": "ann@example.org", "phone": "0"}
CUSTOMER = {
    "id": "C-1", "account_id": "A", "tier": "plus", "value": 1.5, "renews_at": "2027", "contact_allowed": True,
    "primary_contact": "P",
}  # fmt: skip


def published(*values: dict[str, Any], settings: Settings | None = None, **more: Any) -> list[Output]:
    task = Task(Classify((settings or Settings()).classify_settings("npsflow/t.", 1)))
    for offset, fields in enumerate(values):
        value = json.dumps(fields).encode()
        task.take(Record(own_key(value), value, offset, **more))
    return task.pending


def value(output: Output) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.value or b"")
    return found


def test_an_alert_is_the_whole_response_and_what_to_do() -> None:
    (event,) = published(response(**WHOLE, **NOT_PUBLISHED, customer=CUSTOMER | PRIVATE))
    flat = {f"customer_{name}" if name == "id" else name: given for name, given in CUSTOMER.items()}
    assert value(event) == {
        "type": "npsflow.alert.raised.v1", "id": "a-f5982d7c481c2fd6d8df6fd1d315ed8d.1",
        "time": "2026-03-01T15:07:00.000Z",
        **response(),
        **WHOLE,
        **flat,
        "category": "detractor", "alert_id": "a-f5982d7c481c2fd6d8df6fd1d315ed8d", "revision": 1,
        "severity": "critical", "reasons": ["detractor", "contact_requested"], "actionable": True,
        "raised_at": "2026-03-01T15:07:00.000Z", "due_at": "2026-03-02T15:00:00Z",
    }  # fmt: skip
    assert (event.topic, event.key) == (topics.SERVICE_RECOVERY, b"C-1")
    headers = dict(event.headers)
    assert headers["ce_id"] == b"a-f5982d7c481c2fd6d8df6fd1d315ed8d.1"
    assert headers["ce_subject"] == b"a-f5982d7c481c2fd6d8df6fd1d315ed8d"
    assert (headers["ce_source"], headers["ce_time"]) == (b"npsflow/t.", b"2026-03-01T15:07:00.000Z")


def test_a_bare_alert_asks_and_says_why_nobody_can_act() -> None:
    (event,) = published(response(channel=5))
    assert event.key == b"s/1"
    found = value(event)
    assert (found["actionable"], found["not_actionable"]) == (False, "no_contact")
    assert found["open_question"].startswith("What")
    assert found["warnings"] == ["channel"]
    assert "channel" not in found


def test_an_alert_asks_in_a_language_of_the_settings() -> None:
    recovery = Recovery(questions={"de": "Warum?"}, thanks={"de": "Danke."})
    (event,) = published(response(language="de-AT"), settings=Settings(recovery=recovery))
    assert value(event)["open_question"] == "Warum?"


def test_private_fields_are_published_only_where_a_setting_lets_them() -> None:
    for score in (2, 9):
        one = response(score=score, customer=CUSTOMER | PRIVATE)
        (event,) = published(one)
        assert not any(private.encode() in (event.value or b"") for private in ("Ann", "ann@"))
        (event,) = published(one, settings=Settings(alerts=Alerts(private_fields=True)))
        assert {name: value(event)[name] for name in PRIVATE} == PRIVATE


def test_a_follow_up_thanks_and_asks() -> None:
    (event,) = published(response(score=9, **WHOLE))
    found = value(event)
    assert event.topic == topics.FOLLOW_UP
    assert {name: found[name] for name in ("follow_up_id", "revision", "action", "thank", "due_at", "comment")} == {
        "follow_up_id": "f-f5982d7c481c2fd6d8df6fd1d315ed8d", "revision": 1, "action": "referral", "thank": True,
        "due_at": "2026-03-08T15:00:00Z", "comment": "slow",
    }  # fmt: skip
    assert value(published(response(score=7))[0])["action"] == "ask"
    satisfied = value(published(response(score=5, metric="csat"))[0])
    assert satisfied["action"] is None
    assert satisfied["thank"] is True


def test_enriched_names_what_changed() -> None:
    before = response(customer={"id": "C-1", "tier": "plus"})
    after = response(comment="slow", score=3, customer={"id": "C-1"}, updated_at="2026-03-01T15:05:00Z")
    _, event = published(before, after)
    found = value(event)
    assert found["changed"] == ["comment", "score", "tier"]
    assert (found["revision"], found["severity"]) == (2, "high")
    assert (found["raised_at"], found["due_at"]) == ("2026-03-01T15:07:00.000Z", "2026-03-02T15:00:00Z")


def test_a_retraction_says_no_more_than_it_must() -> None:
    first = response(comment="slow", customer={"id": "C-1"})
    for second, cause in (
        (deletion(), "deleted"),
        (first | {"test": True}, "test"),
        (first | {"internal": True}, "internal"),
    ):
        _, event = published(first, second | {"updated_at": "2026-03-01T15:05:00Z"})
        assert event.key == b"C-1"
        assert value(event) == {
            "type": "npsflow.alert.retracted.v1", "id": "a-f5982d7c481c2fd6d8df6fd1d315ed8d.2",
            "time": "2026-03-01T15:07:00.000Z",
            "alert_id": "a-f5982d7c481c2fd6d8df6fd1d315ed8d", "revision": 2, "metric": "nps", "cause": cause,
            "response_id": "1", "source": "s",
        }  # fmt: skip


def test_another_metric_or_customer_or_category_retracts_before_it_raises() -> None:
    first = response(customer={"id": "C-1"})
    for changed, cause, topic in (
        ({"customer": {"id": "C-2"}}, "moved", topics.SERVICE_RECOVERY),
        ({"metric": "csat"}, "metric", topics.SERVICE_RECOVERY),
        ({"score": 9}, "category", topics.FOLLOW_UP),
    ):
        _, gone, new = published(first, first | changed | {"updated_at": "2026-03-01T15:05:00Z"})
        assert (gone.topic, gone.key, value(gone)["cause"]) == (topics.SERVICE_RECOVERY, b"C-1", cause)
        assert (new.topic, new.key) == (topic, b"C-2" if cause == "moved" else b"C-1")
        assert value(new)["revision"] == (3 if topic == topics.SERVICE_RECOVERY else 1)


def test_an_alert_that_comes_late_is_stale() -> None:
    late = NOW + 8 * 86_400_000
    found = value(published(response(customer={"id": "C"}), timestamp=late)[0])
    assert (found["actionable"], found["not_actionable"]) == (False, "stale")
    assert found["raised_at"] == datetime.fromtimestamp(late / 1000, UTC).isoformat(timespec="milliseconds").replace(
        "+00:00", "Z"
    )


@pytest.mark.parametrize("score", [2, 9])
def test_employees_hear_nothing(score: int) -> None:
    assert published(response(score=score, metric="enps")) == []


def test_settings_limit_alerts_and_follow_ups() -> None:
    only_nps = Settings(alerts=Alerts(metrics=["nps"]))
    assert [o.topic for o in published(response(metric="csat"), settings=only_nps)] == [topics.FOLLOW_UP]
    none = Settings(follow_ups=FollowUps(enabled=False))
    assert [o.topic for o in published(response(score=9), response("2"), settings=none)] == [topics.SERVICE_RECOVERY]
    first, then = response(score=9), response(score=2, updated_at="2026-03-01T15:05:00Z")
    assert len(published(first, then, settings=none)) == 1


def test_a_promoter_is_asked_by_the_first_rule_that_fits() -> None:
    rules = FollowUps(promoters=[PromoterRule("review", {"tier": "Plus"}), PromoterRule("testimonial")])
    for customer, action in (({"tier": "PLUS"}, "review"), ({"tier": "basic"}, "testimonial"), ({}, "testimonial")):
        (event,) = published(response(score=10, customer=customer), settings=Settings(follow_ups=rules))
        assert value(event)["action"] == action


def test_events_go_where_their_key_belongs() -> None:
    stage, found = Classify(Settings().classify_settings("npsflow/t.", 1)), list[Output]()
    fold = stage.open(2, 8, found.append)
    names = [str(n) for n in range(100) if partition_of(f"s/{n}".encode(), 8) == 2]
    for offset, name in enumerate(names):
        fields = response(name, customer={"id": f"C-{offset}"}) if offset % 2 else response(name)
        fold.apply(fold.read(Record(f"s/{name}".encode(), json.dumps(fields).encode(), offset)))
    assert len(found) == len(names) > 5
    assert all(event.partition == partition_of(event.key or b"", 8) for event in found)
