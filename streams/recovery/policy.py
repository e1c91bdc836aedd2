"""What `[recovery]` means for an alert: how severe it is, who owns its case, by when, and what to say. Pure."""

from operator import attrgetter

from msgspec import Struct

from npsflow.schemas.cases import NO_COMPLAINT, Case, Due
from npsflow.schemas.events import Context, Severity
from npsflow.schemas.response import Metric
from npsflow.schemas.times import DAY, HOUR, MINUTE, from_rfc3339
from npsflow.streams.recovery.business_hours import Clock
from npsflow.streams.recovery.settings import Recovery, SeverityRule, When
from npsflow.streams.scoring.questions import in_language
from npsflow.streams.scoring.scores import DEFAULT_SCALES
from npsflow.streams.scoring.segments import normal

WAS_PROMOTER = "was_promoter"
"""The reason of an alert whose customer was a promoter before."""
_SEVERITIES: tuple[Severity, ...] = ("medium", "high", "critical")
THANKS = {"en": "Thank you for your answer.", "nl": "Dank u wel voor uw antwoord."}


def is_worse(severity: Severity, other: Severity) -> bool:
    """Whether a severity is above another."""
    return _SEVERITIES.index(severity) > _SEVERITIES.index(other)


by_due = attrgetter("at")
"""Sorts the steps of a plan."""


class Deadlines(Struct, frozen=True, array_like=True):
    """When the first contact is `due` and when the case has to `finish`, ms; `plan`: the steps until then."""

    due: int
    finish: int
    plan: tuple[Due, ...]


class Policy:
    """`[recovery]` as it is applied, its durations in ms; `clock` says which time counts for the first contact.

    `cooldown`: how long after a closed loop an alert that is not worse opens no case. `burst_size` alerts of one
    department in `burst_window` are a burst, 0 for never. `ask_interval`: a customer is not asked more often.
    `retention`: how long a closed case is kept; `customer_retention`: how long a customer without facts is. `turned`:
    the metrics of which a high score is the worst.
    """

    def __init__(self, settings: Recovery, clock: Clock, turned: frozenset[Metric] = frozenset()) -> None:
        self._settings, self._clock, self._turned = settings, clock, turned
        self._root_causes = {normal(cause): cause for cause in (*settings.root_causes, NO_COMPLAINT)}
        self._thanks = THANKS | settings.thanks
        self._questions = settings.all_questions()
        self.cooldown = int(settings.cooldown_hours * HOUR)
        self.burst_size, self.burst_window = settings.burst_alerts, settings.burst_minutes * MINUTE
        self.ask_interval = int(settings.ask_every_days * DAY)
        self.retention, self.customer_retention = int(settings.keep_days * DAY), int(settings.remember_days * DAY)

    def severity(self, severity: Severity, context: Context, previous: str | None) -> tuple[Severity, tuple[str, ...]]:
        """Give the severity of an alert, as it says itself or higher, and the reasons why it is higher.

        `previous`: the category of the same customer's last answer to the same metric.
        """
        reasons = []
        drop = self._settings.drop_from_promoter
        if drop != "off" and previous == "promoter":
            reasons.append(WAS_PROMOTER)
            severity = max(severity, drop, key=_SEVERITIES.index)
        for rule in self._settings.severity:
            if _applies(rule, severity, context):
                reasons.append(rule.name)
                severity = max(severity, rule.at_least, key=_SEVERITIES.index)
        return severity, tuple(reasons)

    def owner(self, severity: Severity | None, context: Context) -> str:
        """Give who owns a case of this severity; None for an ask."""
        for rule in self._settings.owners:
            if _matches(rule.when, severity, context):
                return rule.owner
        return self._settings.default_owner

    def badness(self, severity: Severity, metric: Metric, score: int) -> float:
        """How bad an answer is: more severe is worse, then what is worse on the scale of its metric."""
        scale = DEFAULT_SCALES[metric]
        share = (score - scale.low) / (scale.high - scale.low)
        return _SEVERITIES.index(severity) - (1 - share if metric in self._turned else share) / 1000

    def first_contact_hours(self, severity: Severity, context: Context) -> float:
        """Give how many hours there are until the first contact."""
        for rule in self._settings.first_contact:
            if _matches(rule.when, severity, context):
                return rule.hours
        return self._settings.first_contact_hours

    def deadlines(self, start: int, hours: float) -> Deadlines:
        """Give the deadlines that count from `start`, ms, with `hours` until the first contact."""
        settings = self._settings

        def after(share: float) -> int:
            return self._clock.after(start, int(hours * share * HOUR))

        due, finish = after(1.0), start + int(settings.finish_days * DAY)
        plan = [Due(after(settings.warn_at), "warned"), Due(due, "breached"), Due(finish, "late")]
        plan += [Due(after(step.at), "escalated", step.to) for step in settings.escalations]
        return Deadlines(due, finish, tuple(sorted(plan, key=by_due)))

    def start_of(self, case: Case) -> int:
        """Give the instant from which the deadlines of a case count, ms; right while `finish_days` has not changed."""
        return from_rfc3339(case.finish_by) - int(self._settings.finish_days * DAY)

    def restarted(self, case: Case) -> int:
        """Give from when the deadlines of a case count that was reopened, ms; 0 if it was not."""
        if case.restarted_at is not None:
            return from_rfc3339(case.restarted_at)
        # Older builds have not written that.
        return self.start_of(case) if any(entry.what == "reopened" for entry in case.history) else 0

    def root_cause(self, cause: str) -> str | None:
        """Give a cause as the settings spell it, None if they do not name it; upper and lower case are the same."""
        return self._root_causes.get(normal(cause))

    def thanks(self, context: Context) -> str:
        """Thank in the language of the response."""
        return in_language(self._thanks, context.language)

    def message(self, context: Context, *, answered: bool) -> str:
        """Give what to begin with, in the language of the response: thanks, and a question unless it is `answered`."""
        if answered:
            return self.thanks(context)
        return f"{self.thanks(context)} {in_language(self._questions, context.language)}"


def _applies(rule: SeverityRule, severity: Severity, context: Context) -> bool:
    comment = (context.comment or "").casefold()
    return (
        _matches(rule.when, severity, context)
        and (rule.min_value is None or (context.value or 0) >= rule.min_value)
        and (not rule.words or any(word.casefold() in comment for word in rule.words))
    )


def _matches(when: When, severity: Severity | None, context: Context) -> bool:
    for name, expected in when.items():
        value = severity if name == "severity" else _field(context, name)
        if value is None or normal(str(value)) != normal(expected):
            return False
    return True


def _field(context: Context, name: str) -> object:
    outer, _, inner = name.partition(".")
    if inner:
        return (context.attributes or {}).get(inner) if outer == "attributes" else None
    value: object = getattr(context, name, None)
    return value
