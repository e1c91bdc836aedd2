"""Whatever happens in whatever order: cases are those of a simple model, over restarts too.

The model knows customers who answer NPS questions and change their minds, the default settings, and nothing of how
recover does it. What a case says it works out anew each time, from all that was answered. Of asks it knows that there
is one at most, and none beside a case. Of events it leaves out the `noted`, which say that something is known.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from npsflow.streams.recovery.settings import Recovery

from .recovering import World, header

HOUR = 3_600_000
DAY = 24 * HOUR
RANK = {"opened": 0, "reopened": 0, "acknowledged": 1, "contacted": 2, "resolved": 3, "loop_closed": 4}
VERBS = {"acknowledge": "acknowledged", "contact": "contacted", "resolve": "resolved", "close_loop": "loop_closed"}
CUSTOMERS = ("C-1", "C-2")
WORDS = ("medium", "high", "critical")


@dataclass
class Case:
    """As it should stand. `first`, `alerts`, `won`, `improved`: names of answers.

    `restarted`: since when it counts, after a reopening; `plan`: when what happens by itself; `reminded`: some of that
    has happened.
    """

    first: str
    alerts: list[str]
    severity: int
    id: str = ""
    status: str = ""
    ended: int = 0
    contacted: int | None = None
    won: str | None = None
    improved: str | None = None
    restarted: int = 0
    reminded: bool = False
    plan: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.status in ("loop_closed", "closed")

    def begin(self, status: str, restarted: int = 0) -> str:
        self.status, self.restarted = status, restarted
        self.contacted = self.won = self.improved = None
        self.reminded, self.plan = False, fresh(restarted)
        return status

    def end(self, status: str, now: int) -> str:
        self.status, self.ended, self.plan = status, now, {}
        return status

    def plan_from(self, start: int) -> None:
        """Its steps as they follow from the first of its alerts."""
        if self.over:
            return
        steps = fresh(max(start, self.restarted))
        if self.contacted is not None:
            steps = {"late": steps["late"]}
        self.plan = {what: at for what, at in steps.items() if what in self.plan} if self.reminded else steps


def fresh(start: int) -> dict[str, int]:
    return {"warned": start + 18 * HOUR, "breached": start + 24 * HOUR, "late": start + 7 * DAY}


@dataclass
class Answer:
    """A response, with its newest score. Unhappy `since`; `severity` and `case` as was decided last."""

    customer: str
    at: int
    score: int
    since: int | None = None
    stale: bool = False
    severity: int = -1
    case: Case | None = None


class Cases(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(Recovery(keep_days=9_000, remember_days=9_000))
        self.answers: dict[str, Answer] = {}
        self.last: dict[str, Case] = {}
        self.cases: list[Case] = []
        self.known: dict[str, list[tuple[int, str, int]]] = {customer: [] for customer in CUSTOMERS}

    # What happens.

    @rule(customer=st.sampled_from(CUSTOMERS), score=st.integers(0, 10))
    def answer(self, customer: str, score: int) -> None:
        name = f"r{len(self.answers)}"
        self.world.now += 1000
        self.answers[name] = Answer(customer, self.world.now, score)
        self.happened(self.turned(name, None), self.world.respond(score, customer, name))

    @precondition(lambda self: self.answers)
    @rule(customer=st.sampled_from(CUSTOMERS), score=st.integers(0, 10), hours=st.sampled_from([1, 12, 30, 100]))
    def answer_late(self, customer: str, score: int, hours: int) -> None:
        """It was given hours ago."""
        name, at = f"r{len(self.answers)}", self.world.now - hours * HOUR
        self.world.now += 1000
        self.answers[name] = Answer(customer, at, score)
        if score <= 6:
            score = self.answers[name].score = 7  # deadlines that had passed are tested elsewhere
        self.happened(self.turned(name, None), self.world.respond(score, customer, name, submitted=at))

    @precondition(lambda self: any(self.world.now - answer.at < 30 * DAY for answer in self.answers.values()))
    @rule(data=st.data(), score=st.integers(0, 10))
    def correct(self, data: st.DataObject, score: int) -> None:
        self.world.now += 1000
        recent = [name for name, answer in self.answers.items() if self.world.now - answer.at < 30 * DAY]
        name = data.draw(st.sampled_from(recent))
        answer = self.answers[name]
        before, answer.score = answer.score, score
        expected = [] if score == before else self.turned(name, before)
        self.happened(expected, self.world.respond(score, answer.customer, name, submitted=answer.at))

    @precondition(lambda self: self.last)
    @rule(data=st.data(), verb=st.sampled_from([*VERBS, "reopen"]))
    def act(self, data: st.DataObject, verb: str) -> None:
        case, now = data.draw(st.sampled_from(self.cases)), self.world.now
        customer = self.answers[case.first].customer
        if verb == "reopen":
            other = self.last[customer]
            allowed = (case.over or case.status == "resolved") and (other is case or other.over)
            expected = case.begin("reopened", now) if allowed else "action_refused"
            self.last[customer] = case if allowed else other
        elif case.over or RANK[VERBS[verb]] <= RANK[case.status]:
            expected = "action_refused"
        else:
            expected = case.status = VERBS[verb]
            if verb != "acknowledge":
                case.contacted = now if case.contacted is None else case.contacted
                case.plan = {what: at for what, at in case.plan.items() if what == "late"}
            if verb == "close_loop":
                case.end("loop_closed", now)
        self.happened([expected], self.world.act(verb, customer, case_id=case.id, root_cause="c", comment="c"))

    @rule(hours=st.sampled_from([1, 5, 13, 24, 80]))
    def wait(self, hours: int) -> None:
        until, due = self.world.now + hours * HOUR, []
        for case in self.cases:
            passed = [what for what, at in case.plan.items() if at <= until]
            due += passed
            case.reminded = case.reminded or bool(passed)
            case.plan = {what: at for what, at in case.plan.items() if at > until}
        expected = ["breached" if what == "late" else what for what in due]
        self.happened(expected, self.world.wait(hours))

    @rule()
    def restart(self) -> None:
        self.world.restart()

    # What should come of it.

    def turned(self, name: str, before: int | None) -> list[str]:
        """An answer has the score that it has now; `before` it had another, perhaps."""
        answer = self.answers[name]
        known = [one for one in self.known[answer.customer] if one[1] != name]
        self.known[answer.customer] = sorted([*known, (answer.at, name, answer.score)])[-20:]
        if answer.score > 6:
            return self.taken_back(name) if answer.since is not None else []
        severity = self.severity(name)
        if answer.since is None:
            answer.since = answer.at if before is None else self.world.now
            answer.stale = self.world.now - answer.at > 7 * DAY
            answer.severity = severity
            return self.admitted(name)
        worse, answer.severity = severity > answer.severity, severity
        if answer.case is not None:
            return []
        return self.admitted(name) if worse else []

    def admitted(self, name: str) -> list[str]:
        answer, now = self.answers[name], self.world.now
        assert answer.since is not None
        if answer.stale:
            return ["suppressed"]
        last = self.last.get(answer.customer)
        if last is not None and not last.over:
            answer.case = last
            last.alerts = [*dict.fromkeys([*last.alerts, name])]
            return ["joined", last.begin("reopened", answer.since)] if last.status == "resolved" else ["joined"]
        cooling = last is not None and last.status == "loop_closed" and now < last.ended + DAY
        if last is not None and cooling and answer.severity <= last.severity:
            return ["suppressed"]
        case = next((case for case in self.cases if case.first == name), None)
        if case is None:
            case = Case(name, [name], answer.severity)
            self.cases.append(case)
            happened = [case.begin("opened")]
        else:
            case.alerts = [*dict.fromkeys([name, *case.alerts])]
            happened = [case.begin("reopened", answer.since)]
        answer.case = self.last[answer.customer] = case
        return happened

    def taken_back(self, name: str) -> list[str]:
        answer = self.answers[name]
        case, answer.case, answer.since = answer.case, None, None
        if case is None or name not in case.alerts:
            return []
        case.alerts = [other for other in case.alerts if other != name]
        return [] if case.alerts or case.over else [case.end("closed", self.world.now)]

    # What a case says.

    def before(self, name: str) -> int | None:
        """The score before this one."""
        answer = self.answers[name]
        older = [one for one in self.known[answer.customer] if one[:2] < (answer.at, name)]
        return older[-1][2] if older else None

    def severity(self, name: str) -> int:
        score = self.answers[name].score
        severity = 2 if score <= 2 else 1 if score <= 4 else 0
        return max(severity, 1) if (self.before(name) or 0) >= 9 else severity

    def worst(self, case: Case) -> str:
        return min(case.alerts, key=lambda name: (-self.severity(name), *self.bad(name)))

    def bad(self, name: str) -> tuple[int, int, str]:
        return self.answers[name].score, self.answers[name].at, name

    def better(self, case: Case) -> tuple[str | None, str | None]:
        """The answer by which the customer was won back, or has improved."""
        if not case.alerts:
            return None, None
        last = max(self.answers[name].at for name in case.alerts)
        good = [(at, name) for at, name, score in self.known[self.answers[case.first].customer] if score > 6]
        after = [name for at, name in good if at > max(last, case.restarted)]
        won = [name for at, name in good if case.contacted is not None and at > max(last, case.contacted)]
        return (won[0], None) if won else (None, after[0] if after else None)

    def happened(self, expected: list[str], found: list[str]) -> None:
        """The events that are not about asks are these, and each case stands as it should."""
        for case in self.cases:
            if case.alerts:
                case.severity = max(map(self.severity, case.alerts))
                starts = [self.answers[name].since for name in case.alerts]
                case.plan_from(min(start for start in starts if start is not None))
            before, (case.won, case.improved) = case.won, self.better(case)
            expected += ["won_back"] if case.won and not before else []
        events = self.world.events[len(self.world.events) - len(found) :]
        ours = [
            what
            for what, event in zip(found, events, strict=True)
            if header(event, "ce_subject")[:2] not in ("f-", "q-") and what != "noted"
        ]
        assert sorted(ours) == sorted(expected)
        self.stand()

    def stand(self) -> None:
        standing = {case["case_id"]: case for case in self.world.cases if case["kind"] == "recovery"}
        for case in self.cases:
            if not case.id:
                (case.id,) = standing.keys() - {other.id for other in self.cases}
            stands = standing[case.id]
            assert (stands["status"], stands["severity"]) == (case.status, WORDS[case.severity])
            assert len(stands.get("alert_ids", ())) == len(case.alerts)
            for word, name in (("won_back", case.won), ("improved", case.improved)):
                by = None if name is None else f"s/{name}"
                assert (stands.get(f"{word}_by"), f"{word}_at" in stands) == (by, name is not None)
            if case.alerts:
                worst, newest = self.worst(case), max(case.alerts, key=lambda name: (self.answers[name].at, name))
                assert (stands["response_id"], stands["worst"]["response_id"]) == (worst, worst)
                assert (stands["score"], stands["newest"]["response_id"]) == (self.answers[worst].score, newest)
                was = self.before(worst)
                assert stands.get("previous_score") == stands["worst"].get("previous_score") == was
                assert ("was_promoter" in stands["reasons"]) == (was is not None and was >= 9)
        for customer in CUSTOMERS:
            at_work = [case for case in self.world.cases if case["key"] == customer and not case.get("ended_at")]
            assert len({case["kind"] for case in at_work}) <= 1, "who has a case is asked nothing"
            assert len(at_work) <= 1, "each customer has one, and one ask"


TestCases = Cases.TestCase
TestCases.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
