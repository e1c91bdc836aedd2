"""The sample month as it comes, an hour at a time, with a team that does not do everything: cases and messages are
those that the oracle works out from what was answered and done alone."""

import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

from npsflow.agents.demo import oracle, sample
from npsflow.agents.demo.oracle.cases import Done, Heard, OpenedCase, Rules, expect_cases
from npsflow.schemas import topics
from npsflow.schemas.times import DAY, HOUR, from_rfc3339, rfc3339
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.notify.event import is_wanted, read_event
from npsflow.streams.notify.message import build_message
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Escalation, FirstContact, OwnerRule, Recovery, clock_of
from npsflow.streams.recovery.stage import Recover
from tests.streams.folding import Record, Task

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
NOW = int(END.timestamp() * 1000)
RULES = Rules("crisis", 4, "lead")
RECOVERY = Recovery(
    owners=[OwnerRule("crisis", {"severity": "critical"})],
    first_contact=[FirstContact(4, {"severity": "critical"})],
    escalations=[Escalation("lead")],
)
VERBS = ("acknowledge", "contact", "contact", "resolve", "resolve", "close_loop", "reopen")
SHOWN = ("metric", "score", "comment", "channel", "department", "survey_id", "touchpoint", "severity")


class Month:
    """Runs the stages; remembers what it gave them, for the oracle."""

    def __init__(self, seed: int, count: int) -> None:
        self.records: list[oracle.Record] = []
        self.done: list[Done] = []
        self.ticks: list[int] = []
        self._random = Random(seed)
        self._classify = Task(Classify(Settings().classify_settings("npsflow/", 1)))
        self._recover = Task(Recover(Policy(RECOVERY, clock_of(RECOVERY)), "npsflow/", ""))
        self.standing: dict[bytes | None, bytes | None] = {}
        now = NOW - 30 * DAY
        for number, line in enumerate(sample.sample(seed, count, END)):
            at = NOW - 30 * DAY + (30 * DAY * (number + 1)) // count + 1000
            while now + HOUR < at:
                now += HOUR
                self.tick(now)
            self.produce(line, at)
        for hour in range(1, 24 * 9):
            self.tick(NOW + hour * HOUR)

    def tick(self, at: int) -> None:
        """The clock, and now and then the team."""
        self.ticks.append(at)
        while self._recover.fold.idle(at):
            pass
        self.commit(at)
        if self._random.random() < 0.7:
            newest = [json.loads(value) for value in list(self.standing.values())[-60:] if value is not None]
            if cases := [case for case in newest if case["kind"] == "recovery" and case.get("alert_ids")]:
                self.act(self._random.choice(cases), self._random.choice(VERBS), at + 1)

    def act(self, case: dict[str, Any], verb: str, at: int) -> None:
        newest = case["newest"]
        self.done.append(Done(at, case["key"], f"{newest['source']}/{newest['response_id']}", verb))
        action = {"action_id": str(at), "action": verb, "by": "anna", "alert_id": newest["alert_id"]}
        action |= {"root_cause": "late", "comment": "told"}
        value = json.dumps(action).encode()
        self._recover.take(Record(case["key"].encode(), value, 0, at, topic=topics.ACTIONS))
        self.commit(at)

    def produce(self, line: sample.Line, at: int) -> None:
        offset = len(self.records)
        self.records.append(oracle.Record(0, offset, at, line.key, line.value))
        waiting = [Record(line.key, line.value, offset, at)]
        while waiting:
            self._classify.take(waiting.pop())
            for output in self._classify.commit(at):
                if output.topic == topics.RESPONSES:  # forwarded
                    waiting.append(Record(output.key, output.value, offset, at, output.headers))
                elif output.topic in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP):
                    record = Record(output.key, output.value, 0, at, output.headers, topic=output.topic)
                    self._recover.take(record)
        self.commit(at)

    def commit(self, at: int) -> None:
        for output in self._recover.commit(at):
            assert output.topic != topics.DEAD_LETTERS
            if output.topic == topics.CASES:
                self.standing.pop(output.key, None)
                self.standing[output.key] = output.value

    def cases(self) -> list[dict[str, Any]]:
        return [json.loads(value) for value in self.standing.values() if value is not None]

    def heard(self, notifier: NotifierSettings) -> list[Heard]:
        found = []
        for output in self._recover.committed:
            if output.topic != topics.SERVICE_RECOVERY:
                continue
            record = Record(output.key, output.value, headers=output.headers)
            event = read_event(record)
            if is_wanted(event, notifier):
                message, key = build_message(event, notifier), (output.key or b"").decode()
                found.append(Heard(from_rfc3339(event.at), key, event.case["owner"], message.title, message.quote))
        return found


def shown(case: dict[str, Any]) -> tuple[Any, ...]:
    """What a case shows, in the words of the oracle."""
    answers = []
    for name in ("newest", "worst"):
        answer = case[name]
        fields = {field: answer.get(field) for field in SHOWN}
        at = int(datetime.fromisoformat(answer["submitted_at"]).timestamp() * 1000)
        answers.append(fields | {"response": f"{answer['source']}/{answer['response_id']}", "at": at})
    flat = {field: case.get(field) for field in SHOWN}
    assert flat == {field: answers[1][field] for field in SHOWN}, "what it says of a response is the worst"
    return (
        case["key"], case["opened_at"], case["status"], case["owner"], case["severity"], case["reasons"],
        case["message"], case.get("previous_score"), *answers, case["due_at"], case["finish_by"],
        len(case.get("alert_ids", ())), case.get("contacted_at"), case.get("won_back_by"), case.get("improved_by"),
    )  # fmt: skip


def expected(case: OpenedCase) -> tuple[Any, ...]:
    shows = case.shows
    return (
        case.key, rfc3339(case.opened), case.status, case.owner, shows["severity"], shows["reasons"],
        shows["message"], shows["previous_score"], shows["newest"], shows["worst"], rfc3339(case.due),
        rfc3339(case.finish), len(case.answers), None if case.contacted is None else rfc3339(case.contacted),
        case.won, case.improved,
    )  # fmt: skip


def busy_customers(records: list[oracle.Record]) -> set[str]:
    """Those who answer all the time: recover remembers 20 answers of a customer to one metric, the oracle all."""
    answers = Counter[tuple[str, str]]()
    for record in records:
        with suppress(ValueError, TypeError, LookupError, RecursionError):
            fields = json.loads(record.value or b"")
            answers[fields["customer"]["id"], fields["metric"]] += 1
    return {customer for (customer, _), count in answers.items() if count > 20}


def test_each_case_shows_and_everybody_hears_what_the_oracle_says() -> None:
    month = Month(7, 1500)
    cases, heard = expect_cases(month.records, month.done, month.ticks, RULES)
    busy = busy_customers(month.records)
    cases = [case for case in cases if case.key not in busy]
    heard = [message for message in heard if message.key not in busy]
    ours = [case for case in month.cases() if case["kind"] == "recovery" and case["key"] not in busy]
    found, wanted = sorted(map(shown, ours), key=str), sorted(map(expected, cases), key=str)
    lost = [case for case in wanted if case not in found]
    more = [case for case in found if case not in wanted]
    assert (lost[:3], more[:3], len(found)) == ([], [], len(wanted))
    messages = Counter(one for one in month.heard(NotifierSettings(private=["comment"])) if one.key not in busy)
    assert sorted((messages - Counter(heard)).elements()) == []
    assert sorted((Counter(heard) - messages).elements()) == []
    begins = Counter(message.title.split(":")[0].split(",")[0] for message in heard)
    assert {"New case", "Unhappy once more", "More is known", "Answer soon", "Too late", "Open again"} <= begins.keys()
    assert begins.keys() >= {"Won back", "Escalated to lead"}
    assert len(cases) > 60
    assert any(case.improved for case in cases)
