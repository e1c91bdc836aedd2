"""The sample month as it comes, an hour at a time, with a team that does not do everything: cases and messages are
those that the oracle works out from what was answered and done alone."""

import json
from binascii import crc32
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from npsflow.agents.demo import oracle, sample
from npsflow.agents.demo.oracle.asks import Ask
from npsflow.agents.demo.oracle.cases import Done, Heard, OpenedCase, Rules, expect_cases, expect_digest
from npsflow.schemas import topics
from npsflow.schemas.times import DAY, HOUR, from_rfc3339, rfc3339
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.notify.digest import Digest
from npsflow.streams.notify.event import is_wanted, read_event
from npsflow.streams.notify.message import build_message
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Escalation, FirstContact, OwnerRule, Recovery, clock_of
from npsflow.streams.recovery.stage import Recover
from tests.streams.folding import Record, Task

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
NOW = int(END.timestamp() * 1000)

VERBS = ("acknowledge", "contact", "contact", "resolve", "resolve", "close_loop", "reopen")
ASKED = ("metric", "score", "comment", "channel", "department", "survey_id", "touchpoint")
SHOWN = ("metric", "score", "comment", "channel", "department", "survey_id", "touchpoint", "severity")


class Month:
    """Runs the stages; remembers what it gave them, for the oracle."""

    def __init__(self, seed: int, count: int, burst: int = 0) -> None:
        self.rules = Rules("crisis", 4, "lead", burst, 3000)
        recovery = Recovery(
            owners=[OwnerRule("crisis", {"severity": "critical"})],
            first_contact=[FirstContact(4, {"severity": "critical"})],
            escalations=[Escalation("lead")],
            burst_alerts=burst,
            burst_minutes=3000,
        )
        self.records: list[oracle.Record] = []
        self.done: list[Done] = []
        self.ticks: list[int] = []
        self._random = Random(seed)
        self._classify = Task(Classify(Settings().classify_settings("npsflow/", 1)))
        self._recover = Task(Recover(Policy(recovery, clock_of(recovery)), "npsflow/", ""))
        self.standing: dict[bytes | None, dict[str, Any]] = {}
        now = NOW - 30 * DAY
        for number, line in enumerate(spread(sample.sample(seed, count, END))):
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
            newest = self.cases()[-60:]
            if cases := [case for case in newest if case["kind"] != "ask" and case.get("alert_ids")]:
                self.act(self._random.choice(cases), self._random.choice(VERBS), at + 1)
            if asks := [case for case in newest if case["kind"] == "ask"]:
                self.act(self._random.choice(asks), self._random.choice(("done", "declined")), at + 2)

    def act(self, case: dict[str, Any], verb: str, at: int) -> None:
        """To an alert, the worst, or a follow-up: the case is that in which it is."""
        response = f"{case['source']}/{case['response_id']}"
        key = case.get("customer_id") or response
        self.done.append(Done(at, key, response, verb))
        action = {"action_id": str(at), "action": verb, "by": "anna", "root_cause": "late", "comment": "told"}
        name = "follow_up_id" if case["kind"] == "ask" else "alert_id"
        action[name] = case["follow_up_id"] if case["kind"] == "ask" else case["worst"]["alert_id"]
        value = json.dumps(action).encode()
        self._recover.take(Record(key.encode(), value, 0, at, topic=topics.ACTIONS))
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
                if output.value is not None:
                    self.standing[output.key] = json.loads(output.value)

    def cases(self) -> list[dict[str, Any]]:
        return list(self.standing.values())

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


def digest_lines(cases: Iterable[dict[str, Any]], since: int, until: int) -> Counter[tuple[str, str]]:
    """How many lines a digest has for each owner below each heading."""
    owners = {"crisis": "crisis", "service-recovery": "service-recovery"}
    digest = Digest(NotifierSettings(to=owners, digest="08:30"), since, until)
    for case in cases:
        digest.add_case(case["case_id"], case)
    messages = digest.messages().values()
    return +Counter({(m.to, heading): count for m in messages for heading, count in m.data["counts"].items()})


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
        case["kind"], case["key"], case["opened_at"], case["status"], case["owner"], case["severity"], case["reasons"],
        case["message"], case.get("previous_score"), *answers, case["due_at"], case["finish_by"],
        len(case.get("alert_ids", ())), case.get("contacted_at"), case.get("won_back_by"), case.get("improved_by"),
    )  # fmt: skip


def expected(case: OpenedCase) -> tuple[Any, ...]:
    shows = case.shows
    return (
        "bundle" if case.bundle else "recovery", case.key, rfc3339(case.opened), case.status, case.owner,
        shows["severity"], shows["reasons"],
        shows["message"], shows["previous_score"], shows["newest"], shows["worst"], rfc3339(case.due),
        rfc3339(case.finish), len(case.answers), None if case.contacted is None else rfc3339(case.contacted),
        case.won, case.improved,
    )  # fmt: skip


def shown_ask(case: dict[str, Any]) -> tuple[Any, ...]:
    """What an ask shows, in the words of the oracle."""
    assert (case["owner"], case["finish_by"]) == ("service-recovery", case["due_at"])
    return (
        case["key"], f"{case['source']}/{case['response_id']}", case["status"], case["opened_at"],
        case.get("ended_at"), case["due_at"], case["action"], case["message"], *(case.get(name) for name in ASKED),
    )  # fmt: skip


def expected_ask(ask: Ask) -> tuple[Any, ...]:
    content, ended = ask.content or {}, None if ask.open else rfc3339(ask.ended)
    return (
        ask.key, ask.identity, "opened" if ask.open else "closed", rfc3339(ask.opened), ended, rfc3339(ask.due),
        ask.action, ask.message, *(content.get(name) for name in ASKED),
    )  # fmt: skip


def spread(lines: Iterable[sample.Line]) -> list[sample.Line]:
    """The lines, those of a customer who answers all the time as of many: recover remembers 20 answers to a metric."""
    lines, answers = list(lines), Counter[tuple[str, str]]()
    parsed = dict[int, dict[str, Any]]()
    for number, line in enumerate(lines):
        with suppress(ValueError, TypeError, LookupError, RecursionError):
            fields = json.loads(line.value or b"")
            answers[fields["customer"]["id"], fields["metric"]] += 1
            parsed[number] = fields
    busy = {customer for (customer, _), count in answers.items() if count > 20}
    for number, fields in parsed.items():
        if (customer := fields["customer"])["id"] in busy:
            customer["id"] += f"-{crc32(str(fields.get('response_id')).encode()) % 9}"
            lines[number] = replace(lines[number], value=json.dumps(fields).encode())
    return lines


def differences(found: Iterable[Any], wanted: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """What is lost, and what is there that should not be; both whole."""
    found, wanted = list(found), list(wanted)
    return [one for one in wanted if one not in found], [one for one in found if one not in wanted]


@pytest.mark.parametrize(("seed", "count", "burst"), [(7, 1500, 0), (8, 800, 3)])
def test_each_case_shows_and_everybody_hears_what_the_oracle_says(seed: int, count: int, burst: int) -> None:
    month = Month(seed, count, burst)
    oracles = expect_cases(month.records, month.done, month.ticks, month.rules)
    cases, heard, asks = oracles.cases, oracles.heard, oracles.asks.all()
    ours = [case for case in month.cases() if case["kind"] != "ask"]
    assert differences(map(shown, ours), map(expected, cases)) == ([], [])
    assert len(ours) == len(cases)
    our_asks = [case for case in month.cases() if case["kind"] == "ask"]
    assert differences(map(shown_ask, our_asks), map(expected_ask, asks)) == ([], [])
    assert len(our_asks) == len(asks) > 20
    messages = Counter(month.heard(NotifierSettings(private=["comment"])))
    assert sorted((messages - Counter(heard)).elements()) == []
    assert sorted((Counter(heard) - messages).elements()) == []
    lines = digest_lines(ours, NOW - 7 * DAY, NOW + 9 * DAY)
    assert lines == expect_digest(cases, NOW - 7 * DAY, NOW + 9 * DAY)
    assert {heading for _, heading in lines} == {"new", "worse", "overdue", "won_back"}
    begins = Counter(message.title.split(":")[0].split(",")[0] for message in heard)
    assert {"New case", "Unhappy once more", "More is known", "Answer soon", "Too late", "Open again"} <= begins.keys()
    assert begins.keys() >= {"Won back", "Escalated to lead"}
    assert len(cases) > 60
    assert any(case.improved for case in cases)
    assert (max((len(case.keys) for case in cases if case.bundle), default=0) > 3) == bool(burst)
