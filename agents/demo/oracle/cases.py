"""What each case must show, and who must have heard what, worked out anew from all that was answered and done.

In: the records of the input topic, what teams did, and the times at which somebody looks at the clock. Out: the cases,
bundles and asks as they must stand, and the messages that a notifier with the default events must have sent. Settings
are the default ones but for `Rules`. It is slow, and knows nothing of how recover does it. It remembers all answers,
recover the last 20 of a customer to each metric: who gives more is left to other tests.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .asks import Asks
from .lifecycle import follow
from .model import DAY, HOUR, MINUTE, SCALES, Case, Fields, Record, Version, category, equal
from .reading import DeadError, read

_SEVERITIES = ("medium", "high", "critical")
_WORDS = {"nps": "detractor", "csat": "dissatisfied", "csat_overall": "dissatisfied", "ces": "hard"}
_REACHES = {"acknowledge": "acknowledged", "contact": "contacted", "resolve": "resolved", "close_loop": "loop_closed"}
_RANK = ("opened", "acknowledged", "contacted", "resolved", "loop_closed")
_THANKS = {"en": "Thank you for your answer.", "nl": "Dank u wel voor uw antwoord."}
_QUESTIONS = {
    "en": "What is the most important reason for your score?", "nl": "Wat is de belangrijkste reden voor uw score?",
}  # fmt: skip


class Rules(NamedTuple):
    """The settings that differ from the default: for critical cases, and whom an escalation informs.

    After `burst` alerts of a department in `burst_minutes` the next ones are bundled, but for critical ones; 0: never.
    """

    critical_owner: str
    critical_hours: int
    escalates_to: str
    burst: int = 0
    burst_minutes: int = 60


class Done(NamedTuple):
    """What a team did to the case with an alert, of a customer's key."""

    at: int
    key: str
    response: str
    verb: str


class Heard(NamedTuple):
    """A message. `quote`: what the customer wrote, as it is quoted."""

    at: int
    key: str
    owner: str
    title: str
    quote: str


@dataclass
class Unhappy:
    """An unhappy answer; `since` when its customer is unhappy, `decided`: how severe it was when it was read last."""

    identity: str
    key: str
    content: Fields
    at: int
    since: int
    raised: int
    case: "OpenedCase | None" = None
    left: str = ""
    decided: int = -1

    @property
    def score(self) -> int:
        """The newest score."""
        score: int = self.content["score"]
        return score

    @property
    def subject(self) -> tuple[str, ...]:
        """What it is about."""
        return _subject(self.content)


@dataclass
class OpenedCase:
    """A case; `steps` are those to come of what happens by itself, `reminded` says whether any has been.

    `keys`: whose answers were in it at any time, more than one only of a bundle.
    """

    key: str
    first: str
    opened: int
    bundle: bool = False
    keys: set[str] = field(default_factory=set)
    status: str = "opened"
    answers: list[Unhappy] = field(default_factory=list)
    owner: str = ""
    severity: int = 0
    restarted: int = 0
    contacted: int | None = None
    ended: int = 0
    reminded: bool = False
    steps: dict[str, int] = field(default_factory=dict)
    due: int = 0
    finish: int = 0
    won: str | None = None
    improved: str | None = None
    worsened: int = 0
    won_at: int = 0
    shows: Fields = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.status in ("loop_closed", "closed")


class Cases:
    """All cases of one month. Give what happens in the order of its time."""

    def __init__(self, rules: Rules) -> None:
        self.heard: list[Heard] = []
        self.cases: list[OpenedCase] = []
        self._rules = rules
        self._standing: dict[str, tuple[Version, Case, Unhappy | None]] = {}
        self._unhappy: dict[tuple[str, str], Unhappy] = {}  # by key and identity: what recover has heard of
        self._last: dict[str, OpenedCase] = {}
        self._answered: dict[str, set[str]] = {}  # by key: whose answers were under it at any time
        self._bursts: dict[str, tuple[list[int], OpenedCase | None]] = {}  # by department: its alerts, and their bundle
        self.asks = Asks(self._has_case)
        self._now = 0

    def clock(self, now: int) -> None:
        """Somebody looks at the clock: what is due happens."""
        self._now = now
        for case in self.cases:
            for what in sorted((what for what, at in case.steps.items() if at <= now), key=lambda w: case.steps[w]):
                del case.steps[what]
                case.reminded = True
                self._hear(case, what, None)
        self.asks.clock(now)

    def produce(self, record: Record) -> None:
        """A record is appended."""
        self._now = record.timestamp
        try:
            version = read(record)
        except DeadError:
            return
        known, alert, before = self._standing.get(version.identity, (None, Case(), None))
        if known is not None and (equal(known.as_sent, version.as_sent) or version.order < known.order):
            known.order = max(known.order, version.order) if equal(known.as_sent, version.as_sent) else known.order
            return
        if known is None and not version.deleted and record.timestamp - version.submitted > 35 * DAY:
            return  # too late
        if version.deleted and known is not None:
            version.submitted = known.submitted
        count, was = len(alert.steps), alert.identity
        lived = alert.live or (known is not None and known.counts and known.content["metric"] != "enps")
        follow(alert, version, "alert")
        unhappy = self._answer(version, alert, before, known, was, lived) if alert.live else None
        self._standing[version.identity] = version, alert, unhappy
        self._answered.setdefault(_key(version), set()).add(version.identity)
        for step in alert.steps[count:]:
            if step.type == "retracted":
                self._take_back(version.identity, step.key)
            elif unhappy is not None:
                self._read(unhappy)
        keys = {alert.identity[2], was[2], _key(version), _key(known) if known else ""}
        self._settle(keys)
        self._judge(keys)
        self._reconsider(keys)
        self.asks.produce(version, known, self._now)

    def act(self, done: Done) -> None:
        """A team does something."""
        self._now = done.at
        if done.verb in ("done", "declined"):
            self.asks.act(done.key, done.response, done.at)
            return
        answer = self._unhappy.get((done.key, done.response))
        case = answer.case if answer is not None else None
        if case is None:
            return
        if done.verb == "reopen":
            last = case if case.bundle else self._last[case.key]
            if (case.over or case.status == "resolved") and (last is case or last.over):
                self._begin(case, "reopened", done.at)
                if not case.bundle:
                    self._last[case.key] = case
                    self.asks.leave(case.key, self._now)
                self._settle({case.key})
                self._hear(case, "reopened", None)
            return
        reached = _REACHES[done.verb]
        status = "opened" if case.status == "reopened" else case.status
        if case.over or _RANK.index(reached) <= _RANK.index(status):
            return
        case.status = reached
        if reached != "acknowledged":
            case.contacted = done.at if case.contacted is None else case.contacted
            case.steps = {what: at for what, at in case.steps.items() if what == "late"}
        if reached == "loop_closed":
            case.ended, case.steps = done.at, {}
        self._judge({case.key})

    def _has_case(self, key: str) -> bool:
        """Whether a customer has an open case."""
        return key in self._last and not self._last[key].over

    # What becomes of an answer.

    def _answer(
        self, version: Version, alert: Case, before: Unhappy | None, known: Version | None, was: Any, lived: bool
    ) -> Unhappy:
        """The unhappy answer that stands now; its clock goes on while it is as unhappy as before."""
        updated = version.order[0]
        if known is None:
            since = max(version.submitted, updated)
        elif "updated_at" in version.content:
            since = updated
        else:
            since = self._now
        raised = self._now
        same = known is not None and known.counts and lived
        if same and before is not None and was[:2] == alert.identity[:2]:
            since, raised = before.since, before.raised
        key = alert.identity[2]
        answer = Unhappy(version.identity, key, version.content, version.submitted, since, raised)
        heard_of = self._unhappy.get((key, version.identity))
        if heard_of is not None:
            heard_of.content, heard_of.at, heard_of.since, heard_of.raised = version.content, answer.at, since, raised
            return heard_of
        return answer

    def _read(self, answer: Unhappy) -> None:
        """An alert was raised, enriched or reinstated."""
        self._unhappy[answer.key, answer.identity] = answer
        self._decide(answer)
        if self._has_case(answer.key):
            self.asks.leave(answer.key, self._now)

    def _decide(self, answer: Unhappy) -> None:
        severity, worse = self._severity(answer), False
        worse, answer.decided = severity > answer.decided >= 0, severity
        obstacle = self._obstacle(answer)
        if answer.case is not None:
            case, rose = answer.case, self._settle({answer.key}, answer.case)
            self._hear(case, "enriched", answer, rose=rose)
            forbidden = answer.content.get("customer", {}).get("contact_allowed") is False
            if forbidden and not case.bundle and not case.over and case.contacted is None:
                case.status, case.ended, case.steps = "closed", self._now, {}
                answer.case, answer.left = None, "opted_out"
            return
        again = answer.left in ("no_contact", "opted_out") and not obstacle
        if answer.left not in ("", "retracted") and not again and not worse:
            return
        answer.left = obstacle
        if not obstacle:
            self._admit(answer)

    def _admit(self, answer: Unhappy) -> None:
        last = self._last.get(answer.key)
        if last is not None and not last.over:
            self._join(last, answer)
            return
        cools = last is not None and last.status == "loop_closed" and self._now < last.ended + DAY
        if last is not None and cools and answer.decided <= last.severity:
            answer.left = "cooldown"
            return
        bundled, bundle = self._burst(answer)
        if bundled and bundle is not None and not bundle.over:
            self._join(bundle, answer)
        elif bundled:
            self._open(answer, bundle, bundle=True)
        else:
            own = [c for c in self.cases if (c.first, c.key) == (answer.identity, answer.key) and not c.bundle]
            self._open(answer, own[0] if own else None)

    def _join(self, case: OpenedCase, answer: Unhappy) -> None:
        """The answer is one of an open case. One that was resolved begins again."""
        answer.case = self._last[answer.key] = case
        case.answers.append(answer)
        case.keys.add(answer.key)
        if self._settle({answer.key}, case):
            self._hear(case, "joined", answer, rose=True)
        if case.status == "resolved":
            self._begin(case, "reopened", answer.since)
            self._settle({answer.key}, case)
            self._hear(case, "reopened", answer)

    def _open(self, answer: Unhappy, case: OpenedCase | None, *, bundle: bool = False) -> None:
        """The answer opens a case, or opens one again that is over."""
        event = "reopened" if case else "opened"
        if case is None:
            case = OpenedCase(answer.key, answer.identity, self._now, bundle)
            self.cases.append(case)
        if bundle:
            department = _department(answer)
            self._bursts[department] = self._bursts[department][0], case
        if answer not in case.answers:
            case.answers.append(answer)
        case.keys.add(answer.key)
        answer.case = self._last[answer.key] = case
        self._begin(case, event, answer.since if event == "reopened" else 0)
        rose = self._settle({answer.key}, case)
        self._hear(case, event, answer if event == "reopened" else None, rose=rose)

    def _burst(self, answer: Unhappy) -> tuple[bool, OpenedCase | None]:
        """Whether the answer is one of very many of its department, and the case of those, None for a new one."""
        department = _department(answer)
        if not self._rules.burst or not department:
            return False, None
        times, bundle = self._bursts.get(department, ([], None))
        begin = self._now - self._rules.burst_minutes * MINUTE
        many = sum(at > begin for at in times) >= self._rules.burst
        bundle = bundle if many else None
        self._bursts[department] = [*times, self._now], bundle
        return many and answer.decided < 2, bundle

    def _reconsider(self, keys: set[str]) -> None:
        """What came soon after a closed loop is looked at again once another answer makes it worse."""
        for answer in [one for one in self._unhappy.values() if one.key in keys and one.left == "cooldown"]:
            before, answer.decided = answer.decided, self._severity(answer)
            if answer.decided > before:
                answer.left = ""
                self._admit(answer)
                self._judge(keys)
                if self._has_case(answer.key):
                    self.asks.leave(answer.key, self._now)

    def _begin(self, case: OpenedCase, status: str, restarted: int) -> None:
        case.status, case.restarted, case.reminded, case.contacted = status, restarted, False, None
        case.won = case.improved = None

    def _take_back(self, identity: str, key: str) -> None:
        answer = self._unhappy.get((key, identity))
        if answer is None:
            return
        case, answer.case, answer.left, answer.decided = answer.case, None, "retracted", -1
        for one in self.cases:
            if answer in one.answers and (one is case or case is None):
                one.answers.remove(answer)
        if case is not None and not case.answers and not case.over:
            case.status, case.ended, case.steps = "closed", self._now, {}
        left = case is not None and case.bundle and not any(other.key == key for other in case.answers)
        if left and self._last.get(key) is case:
            del self._last[key]  # the bundle goes on without this customer

    def _obstacle(self, answer: Unhappy) -> str:
        customer, reference = answer.content.get("customer", {}), answer.content.get("reference", {})
        if answer.raised - answer.since > 7 * DAY:
            return "stale"
        ways = [customer.get(name) for name in ("id", "email", "phone")]
        if not any(ways) and not any(reference.get(name) for name in ("id", "url")):
            return "no_contact"
        return "opted_out" if customer.get("contact_allowed") is False else ""

    # What a case says.

    def _settle(self, keys: set[str], stepped: OpenedCase | None = None) -> bool:
        """Work out anew what the cases of these customers say; give whether `stepped` became more severe by it."""
        rose = False
        for case in self.cases:
            worsened = bool(case.keys & keys) and self._describe(case) and not case.over
            case.worsened = self._now if worsened else case.worsened
            if case is stepped:
                rose = worsened
            elif worsened:
                self._hear(case, "worsened", None)
        return rose

    def _judge(self, keys: set[str]) -> None:
        """Work out anew which of these customers are won back; nobody is by an answer of one among many."""
        for case in self.cases:
            if case.key in keys and not case.bundle:
                before, (case.won, case.improved) = case.won, self._better(case)
                if case.won and not before:
                    case.won_at = self._now
                    self._hear(case, "won_back", None)

    def _describe(self, case: OpenedCase) -> bool:
        if not case.answers:
            return False
        worst = min(case.answers, key=lambda a: (-self._severity(a), self._share(a), a.at, a.identity))
        newest = max(case.answers, key=lambda a: (a.at, a.identity))
        severity, before = self._severity(worst), case.severity
        opening = not case.shows
        case.severity = severity
        if not case.over:
            case.owner = self._rules.critical_owner if severity == 2 else "service-recovery"
            self._plan(case)
        commented = any(a.content.get("comment") for a in case.answers if a.key == newest.key)
        language = "nl" if str(newest.content.get("language", "")).startswith("nl") else "en"
        others = [r for a in sorted(case.answers, key=lambda a: (a.at, a.identity)) for r in self._reasons(a)]
        reasons = dict.fromkeys([*self._reasons(worst), *(r for r in others if r != "was_promoter")])
        case.shows = {
            "severity": _SEVERITIES[severity],
            "reasons": list(reasons),
            "message": _THANKS[language] + ("" if commented else " " + _QUESTIONS[language]),
            "newest": self._shown(newest),
            "worst": self._shown(worst),
            "previous_score": self._before(worst),
        }
        return not opening and severity > before

    def _plan(self, case: OpenedCase) -> None:
        """Of each step the first that follows from an answer counts, but what was over before that was known."""
        steps: dict[str, int] = {}
        dues, ends = [], []
        for answer in case.answers:
            start = max(answer.since, case.restarted)
            hours = self._rules.critical_hours if self._severity(answer) == 2 else 24
            due, end = start + hours * HOUR, start + 7 * DAY
            own = {"warned": start + int(0.75 * hours * HOUR), "breached": due, "escalated": due, "late": end}
            for what, at in own.items():
                if at > answer.raised or answer.since < case.restarted:
                    steps[what] = min(at, steps.get(what, at))
            dues.append(due)
            ends.append(end)
        if case.contacted is None:
            case.due = min(dues)
        else:
            steps = {what: at for what, at in steps.items() if what == "late"}
        case.finish = min(ends)
        case.steps = {w: steps.get(w, at) for w, at in case.steps.items()} if case.reminded else steps

    def _severity(self, answer: Unhappy) -> int:
        metric, score = answer.content["metric"], answer.score
        if answer.content.get("contact_requested"):
            return 2
        if metric != "nps":
            return 2 if score == SCALES[metric][0] else 0
        own = 2 if score <= 2 else 1 if score <= 4 else 0
        return max(own, 1) if (self._before(answer) or 0) >= 9 else own

    def _reasons(self, answer: Unhappy) -> list[str]:
        reasons = [_WORDS[answer.content["metric"]]]
        reasons += ["contact_requested"] if answer.content.get("contact_requested") else []
        promoter = answer.content["metric"] == "nps" and (self._before(answer) or 0) >= 9
        return reasons + (["was_promoter"] if promoter else [])

    def _share(self, answer: Unhappy) -> float:
        low, high = SCALES[answer.content["metric"]]
        return (answer.score - low) / (high - low)

    def _given(self, key: str) -> list[tuple[int, str, Fields]]:
        """All standing answers of a customer, in the order in which they were given."""
        found = [
            (version.submitted, version.identity, version.content)
            for version in (self._standing[identity][0] for identity in self._answered.get(key, ()))
            if version.counts and _key(version) == key
        ]
        return sorted(found, key=lambda one: one[:2])

    def _before(self, answer: Unhappy) -> int | None:
        """What the same customer gave to the same metric before."""
        older = [
            content["score"]
            for at, identity, content in self._given(answer.key)
            if (at, identity) < (answer.at, answer.identity) and content["metric"] == answer.content["metric"]
        ]
        return older[-1] if older else None

    def _shown(self, answer: Unhappy) -> Fields:
        names = ("metric", "score", "comment", "channel", "department", "survey_id", "touchpoint")
        shown = {name: answer.content.get(name) for name in names}
        return shown | {"response": answer.identity, "at": answer.at, "severity": _SEVERITIES[self._severity(answer)]}

    def _better(self, case: OpenedCase) -> tuple[str | None, str | None]:
        """The answer by which the customer was won back, or has improved though nobody had called."""
        if case.contacted is not None and (won := self._answered_after(case, case.contacted)):
            return won, None
        return None, self._answered_after(case, case.restarted)

    def _answered_after(self, case: OpenedCase, time: int) -> str | None:
        found = []
        for subject in {answer.subject for answer in case.answers}:
            last = max(answer.at for answer in case.answers if answer.subject == subject)
            good = [
                (at, identity)
                for at, identity, content in self._given(case.key)
                if at > max(last, time) and _subject(content) == subject and category(subject[0], content["score"]) > 0
            ]
            if not good:
                return None
            found.append(good[0])
        return max(found)[1] if found else None

    # Who hears of it.

    def _hear(self, case: OpenedCase, event: str, about: Unhappy | None, *, rose: bool = False) -> None:
        shown = self._shown(about) if about is not None else case.shows["worst"]
        where = shown["department"] or shown["channel"] or "-"
        answer = f"{shown['metric'].upper()} {shown['score']}, {where}"
        severity = case.shows["severity"]
        due = f"{datetime.fromtimestamp(case.due / 1000, tz=UTC):%Y-%m-%d %H:%M} UTC"
        titles = {
            "opened": f"New case, {severity}: {answer}",
            "joined": f"Unhappy once more: {answer}",
            "enriched": f"More is known: {answer}",
            "worsened": f"Now {severity}: {answer}",
            "warned": f"Answer soon, by {due}: {answer}",
            "escalated": f"Escalated to {self._rules.escalates_to}: {answer}",
            "breached": f"Too late, it was due {due}: {answer}",
            "late": f"Too late, it was due {due}: {answer}",
            "reopened": f"Open again: {answer}",
            "won_back": "Won back: the answer after the contact is not unhappy",
        }
        title = titles[event] + (f"; now {severity}" if rose else "")
        quote = shown["comment"] or ""
        quote = quote if len(quote) <= 2000 else quote[:2000] + "…"
        self.heard.append(Heard(self._now, case.key, case.owner, title, quote))


def expect_digest(cases: Iterable[OpenedCase], since: int, until: int) -> Counter[tuple[str, str]]:
    """How many lines the owners of cases must read below each heading, if the cases stand like this at `until`."""
    lines = Counter[tuple[str, str]]()
    for case in cases:
        lines[case.owner, "new"] += since <= case.opened < until
        lines[case.owner, "worse"] += case.opened < since <= case.worsened < until
        lines[case.owner, "overdue"] += not case.over and case.contacted is None and case.due < until
        lines[case.owner, "won_back"] += bool(case.won) and since <= case.won_at < until
    return +lines


def expect_cases(records: Iterable[Record], done: Iterable[Done], ticks: Iterable[int], rules: Rules) -> Cases:
    """Work it all out. What happens at the same time comes in this order: the clock, records, what teams did."""
    cases = Cases(rules)
    timeline: list[tuple[int, int, Any]] = [(tick, 0, None) for tick in ticks]
    timeline += [(record.timestamp, 1, record) for record in records]
    timeline += [(one.at, 2, one) for one in done]
    for at, kind, what in sorted(timeline, key=lambda entry: entry[:2]):
        if kind == 0:
            cases.clock(at)
        elif kind == 1:
            cases.produce(what)
        else:
            cases.act(what)
    return cases


def _key(version: Version) -> str:
    """The Kafka key of its events."""
    key: str = version.content.get("customer", {}).get("id") or version.identity
    return key


def _department(answer: Unhappy) -> str:
    """As it is counted."""
    return (answer.content.get("department") or "").strip().casefold()


def _subject(content: Fields) -> tuple[str, ...]:
    """What an answer is about."""
    names = ("department", "touchpoint")
    return content["metric"], content["survey_id"], *((content.get(name) or "").strip().casefold() for name in names)
