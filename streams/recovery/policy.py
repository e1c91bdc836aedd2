"""What is decided about an alert: how severe it is, whose it is, by when, and what to begin with. Pure."""

from dataclasses import dataclass

from npsflow.schemas.cases import Case, Due
from npsflow.schemas.events import Context, Severity
from npsflow.schemas.times import DAY, HOUR, from_rfc3339
from npsflow.streams.recovery.business_hours import Clock
from npsflow.streams.recovery.settings import Recovery, SeverityRule, When
from npsflow.streams.scoring.questions import in_language
from npsflow.streams.scoring.segments import normal

_ORDER: tuple[Severity, ...] = ("medium", "high", "critical")
THANKS = {"en": "Thank you for your answer.", "nl": "Dank u wel voor uw antwoord."}


def worse(one: Severity, other: Severity) -> bool:
    """Whether `one` is worse than the other."""
    return _ORDER.index(one) > _ORDER.index(other)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """In ms: of the first contact and of the whole, and what happens by itself until then."""

    due: int
    finish: int
    plan: tuple[Due, ...]


class Policy:
    """`[recovery]` as it is applied; `clock` says which time counts for the first contact."""

    def __init__(self, settings: Recovery, clock: Clock) -> None:
        self.settings, self._clock = settings, clock
        self._thanks = THANKS | settings.thanks
        self._questions = settings.all_questions()

    def severity(self, severity: Severity, context: Context, previous: str | None) -> tuple[Severity, tuple[str, ...]]:
        """As severe as the alert says, or more, and the reasons for that.

        `previous`: the category of the same customer's last answer to the same metric.
        """
        reasons = []
        drop = self.settings.drop_from_promoter
        if drop != "off" and previous == "promoter":
            reasons.append("was_promoter")
            severity = drop if worse(drop, severity) else severity
        for rule in self.settings.severity:
            if _applies(rule, severity, context):
                reasons.append(rule.name)
                severity = rule.at_least if worse(rule.at_least, severity) else severity
        return severity, tuple(reasons)

    def owner(self, severity: Severity | None, context: Context) -> str:
        for rule in self.settings.owners:
            if _fits(rule.when, severity, context):
                return rule.owner
        return self.settings.default_owner

    def deadlines(self, start: int, severity: Severity, context: Context) -> Deadlines:
        """`start`: when the customer said it, in ms."""
        settings, hours = self.settings, self.settings.first_contact_hours
        for rule in settings.first_contact:
            if _fits(rule.when, severity, context):
                hours = rule.hours
                break

        def at(share: float) -> int:
            return self._clock.after(start, int(hours * share * HOUR))

        finish = start + int(settings.finish_days * DAY)
        plan = [Due(at(settings.warn_at), "warned"), Due(at(1.0), "breached"), Due(finish, "late")]
        plan += [Due(at(step.at), "escalated", step.to) for step in settings.escalations]
        return Deadlines(at(1.0), finish, tuple(sorted(plan, key=lambda due: due.at)))

    def start_of(self, case: Case) -> int:
        """From when its deadlines count: what they were made from, unless the settings have changed."""
        return from_rfc3339(case.finish_by) - int(self.settings.finish_days * DAY)

    def thanks(self, context: Context) -> str:
        """In the response's language."""
        return in_language(self._thanks, context.language)

    def message(self, context: Context) -> str:
        """What to begin with: thanks, and a question where there was no comment, in the response's language."""
        if context.comment:
            return self.thanks(context)
        return f"{self.thanks(context)} {in_language(self._questions, context.language)}"


def _applies(rule: SeverityRule, severity: Severity, context: Context) -> bool:
    comment = (context.comment or "").casefold()
    return (
        _fits(rule.when, severity, context)
        and (rule.min_value is None or (context.value or 0) >= rule.min_value)
        and (not rule.words or any(word.casefold() in comment for word in rule.words))
    )


def _fits(when: When, severity: Severity | None, context: Context) -> bool:
    for name, wanted in when.items():
        found = severity if name == "severity" else _field(context, name)
        if found is None or normal(str(found)) != normal(wanted):
            return False
    return True


def _field(context: Context, name: str) -> object:
    outer, _, inner = name.partition(".")
    if inner:
        return (context.attributes or {}).get(inner) if outer == "attributes" else None
    found: object = getattr(context, name, None)
    return found
