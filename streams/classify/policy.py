"""What is done about a response: whether somebody can act on its alert, and what a customer is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from npsflow.schemas.events import Action
from npsflow.schemas.response import Response
from npsflow.streams.scoring.questions import in_language
from npsflow.streams.scoring.scores import BEST, Scale
from npsflow.streams.scoring.segments import normal
from npsflow.streams.scoring.severity import STALE_AFTER

FOLLOW_UP_DUE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Rule:
    """A promoter whose fields all have these values is asked for `action`."""

    action: Action
    when: tuple[tuple[str, str], ...] = ()

    def fits(self, response: Response) -> bool:
        """Whether all fields, compared as segments are, have the values of `when`."""
        return all(normal(str(_field(response, name) or "")) == value for name, value in self.when)


def _field(response: Response, name: str) -> object:
    own = getattr(response, name, None)
    return own if own is not None else getattr(response.customer, name, None)


def not_actionable(response: Response, appended: int, since: int) -> str | None:
    """Why nobody can act on this alert, or None; `since`: when the customer became unhappy; times in ms."""
    if appended - since > STALE_AFTER:
        return "stale"
    customer, reference = response.customer, response.reference
    if customer is not None and (customer.id or customer.email or customer.phone):
        return None
    return None if reference is not None and (reference.id or reference.url) else "no_contact"


def action(scale: Scale, rank: int, response: Response, rules: Sequence[Rule]) -> Action | None:
    """What to ask of a response that raises no alert, besides thanks."""
    if rank != BEST:
        return "ask"
    if scale.formula != "net":
        return None
    for rule in rules:
        if not rule.when or rule.fits(response):
            return rule.action
    return None


def open_question(response: Response, questions: Mapping[str, str]) -> str | None:
    """What to ask an unhappy customer who gave a score alone, in the language of the response."""
    if response.comment:
        return None
    return in_language(questions, response.language)
