"""Whatever happens in whatever order: cases are those of a simple model, over restarts too.

The model knows customers who answer NPS questions and change their minds, the default settings, and nothing of how
recover does it. Of asks it knows that there is one at most, and none beside a case.
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
    """As it should stand. `alerts`, `first`, `lead`, `won`: names of answers; `plan`: when what happens by itself."""

    first: str
    lead: str
    alerts: list[str]
    severity: int
    id: str = ""
    status: str = ""
    ended: int = 0
    won: str | None = None
    start: int = 0
    plan: dict[str, int] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.status in ("loop_closed", "closed")

    def begin(self, status: str, start: int) -> str:
        self.status, self.start = status, start
        self.plan = {"warned": start + 18 * HOUR, "breached": start + 24 * HOUR, "late": start + 7 * DAY}
        return status

    def end(self, status: str, now: int) -> str:
        self.status, self.ended, self.plan = status, now, {}
        return status

    def sharpen(self, severity: int, start: int) -> None:
        self.severity = max(severity, self.severity)
        fresh = {"warned": start + 18 * HOUR, "breached": start + 24 * HOUR, "late": start + 7 * DAY}
        self.plan = {what: min(at, fresh[what]) for what, at in self.plan.items()}


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
        elif verb == "close_loop":
            expected = case.end("loop_closed", now)
        else:
            expected = case.status = VERBS[verb]
            if verb != "acknowledge":
                case.plan = {what: at for what, at in case.plan.items() if what == "late"}
        self.happened([expected], self.world.act(verb, customer, case_id=case.id, root_cause="c", comment="c"))

    @rule(hours=st.sampled_from([1, 5, 13, 24, 80]))
    def wait(self, hours: int) -> None:
        until, due = self.world.now + hours * HOUR, []
        for case in self.cases:
            due += [what for what, at in case.plan.items() if at <= until]
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
        if answer.score > 6:
            happened = self.taken_back(name) if answer.since is not None else []
            if before is not None and before > 6 and (before > 8) != (answer.score > 8):
                happened += self.lost_again(name)  # what was asked of one who is passive is taken back first
            happened += self.won_back(name)
            self.remember(name)
            return happened
        severity = 2 if answer.score <= 2 else 1 if answer.score <= 4 else 0
        if self.before(name) >= 9:
            severity = max(severity, 1)
        self.remember(name)
        if answer.since is None:
            answer.since = answer.at if before is None else self.world.now
            answer.stale = self.world.now - answer.at > 7 * DAY
            answer.severity = severity
            return self.admitted(name) + self.lost_again(name)
        worse, answer.severity = severity > answer.severity, severity
        if answer.case is not None:
            return self.enriched(name, answer.case)
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
            last.sharpen(answer.severity, answer.since)
            return ["joined", last.begin("reopened", answer.since)] if last.status == "resolved" else ["joined"]
        cooling = last is not None and last.status == "loop_closed" and now < last.ended + DAY
        if last is not None and cooling and answer.severity <= last.severity:
            return ["suppressed"]
        case = next((case for case in self.cases if case.first == name), None)
        if case is None:
            case = Case(name, name, [name], answer.severity)
            self.cases.append(case)
            happened = [case.begin("opened", answer.since)]
            better = [other for at, other in self.happy(answer.customer) if at > answer.since]
            case.won = better[0] if better else None
            happened += ["won_back"] if case.won else []
        else:
            case.severity = max(answer.severity, case.severity) if case.alerts else answer.severity
            case.alerts, case.lead = [*dict.fromkeys([name, *case.alerts])], name
            happened = [case.begin("reopened", answer.since)]
        answer.case = self.last[answer.customer] = case
        return happened

    def enriched(self, name: str, case: Case) -> list[str]:
        answer = self.answers[name]
        assert answer.since is not None
        if not case.over:
            case.sharpen(answer.severity, max(answer.since, case.start))
        if case.alerts[:1] == [name]:
            case.lead = name
        return ["noted"]

    def taken_back(self, name: str) -> list[str]:
        answer = self.answers[name]
        case, answer.case, answer.since = answer.case, None, None
        known = self.known[answer.customer]
        known[:] = [one for one in known if one[1] != name]
        if case is None or name not in case.alerts:
            return []
        case.alerts = [other for other in case.alerts if other != name]
        if case.alerts or case.over:
            return ["noted"]
        return [case.end("closed", self.world.now)]

    def happy(self, customer: str) -> list[tuple[int, str]]:
        """Answers that are remembered and not unhappy."""
        return [(at, name) for at, name, score in self.known[customer] if score > 6]

    def lost_again(self, name: str) -> list[str]:
        """An answer is taken back, or a bad one now: who was won back by it is so no more, unless by another."""
        happened = []
        for case in self.cases:
            if case.won == name:
                case.won = None
                happened.append("noted")
                for _, other in self.happy(self.answers[name].customer):
                    happened += self.won_back(other) if other != name else []
        return happened

    def won_back(self, name: str) -> list[str]:
        answer, happened = self.answers[name], list[str]()
        for case in self.cases:
            lead = self.answers[case.lead]
            linked = any(other.case is case for other in self.answers.values())
            ours = lead.customer == answer.customer and lead is not answer and lead.at < answer.at
            if ours and linked and not case.won:
                case.won = name
                happened.append("won_back")
        return happened

    def before(self, name: str) -> int:
        """The score before this one, as far as it is remembered: two answers of each customer are."""
        answer = self.answers[name]
        older = [one for one in self.known[answer.customer] if one[1] != name and one[0] <= answer.at]
        return older[-1][2] if older else -1

    def remember(self, name: str) -> None:
        answer = self.answers[name]
        others = [one for one in self.known[answer.customer] if one[1] != name]
        self.known[answer.customer] = sorted([*others, (answer.at, name, answer.score)])[-2:]

    def happened(self, expected: list[str], found: list[str]) -> None:
        """The events that are not about asks are these, and each case stands as it should."""
        events = self.world.events[len(self.world.events) - len(found) :]
        ours = [
            what
            for what, event in zip(found, events, strict=True)
            if header(event, "ce_subject")[:2] not in ("f-", "q-")
        ]
        assert sorted(ours) == sorted(expected)
        standing = {case["case_id"]: case for case in self.world.cases if case["kind"] == "recovery"}
        for case in self.cases:
            if not case.id:
                (case.id,) = standing.keys() - {other.id for other in self.cases}
            stands = standing[case.id]
            assert (stands["status"], stands["severity"]) == (case.status, WORDS[case.severity])
            assert len(stands.get("alert_ids", ())) == len(case.alerts)
            won_back_by = None if case.won is None else f"s/{case.won}"
            assert (stands.get("won_back_by"), "won_back_at" in stands) == (won_back_by, case.won is not None)
        for customer in CUSTOMERS:
            at_work = [case for case in self.world.cases if case["key"] == customer and not case.get("ended_at")]
            assert len({case["kind"] for case in at_work}) <= 1, "who has a case is asked nothing"
            assert len(at_work) <= 1, "each customer has one, and one ask"


TestCases = Cases.TestCase
TestCases.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
