"""What recover knows of one customer: the last answers, and what came of each alert and follow-up."""

from bisect import bisect_left
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from npsflow.schemas.events import Context, Severity
from npsflow.schemas.times import to_ms
from npsflow.streams.scoring.segments import normal

COOLDOWN = "cooldown"
"""The reason of an alert that came soon after a closed loop and was not worse than what that was about."""
_MAX_OUTCOMES = 100  # alerts and follow-ups of a customer
_MAX_ANSWERS = 20  # of a customer to one metric: so many may arrive in any order

by_time = attrgetter("at", "response")
"""Sorts answers; what was answered at the same time has an order too."""


def response_key(source: str, response_id: str) -> str:
    """How a response is named where it has no customer: in keys, and in `won_back_by`."""
    return f"{source}/{response_id}"


def counterpart(fact_id: str) -> str:
    """The id of the follow-up that the response of an alert may have, or the other way round."""
    return "f-" + fact_id.removeprefix("a-") if fact_id.startswith("a-") else "a-" + fact_id.removeprefix("f-")


def subject_of(context: Context) -> str:
    """Name what an answer is about: the same survey, department and touchpoint; 8 bytes, hex."""
    about = context.survey_id, normal(context.department or ""), normal(context.touchpoint or "")
    return blake2b("\0".join(about).encode(), digest_size=8).hexdigest()


class Answer(Struct, frozen=True, array_like=True):
    """An answer to one metric. `response`: its `response_key`; `at`: when it was submitted, ms.

    `subject`: what it is about, as `subject_of` names it; "" in what older builds remembered.
    """

    response: str
    score: int
    category: str
    at: int
    unhappy: bool = False
    subject: str = ""

    @classmethod
    def from_context(cls, context: Context, *, unhappy: bool) -> "Answer":
        """Read it from an alert, which is `unhappy`, or from a follow-up, which is not."""
        response = response_key(context.source, context.response_id)
        at = to_ms(context.submitted_at)
        return cls(response, context.score, context.category, at, unhappy, subject_of(context))


class Decision(NamedTuple):
    """The case that an alert or follow-up belongs to, or the reason why there is none."""

    case_id: str = ""
    reason: str = ""


class Outcome(Struct, frozen=True, array_like=True):
    """What came of an alert or follow-up, as it is kept: a Decision, and what it was decided on.

    `revision`: the last one that was read; `at`: when that was appended, ms. `opened_case`: the case that it opened
    itself, now or earlier.
    """

    revision: int
    severity: Severity | None
    case_id: str
    reason: str = ""
    at: int = 0
    opened_case: str = ""


class Customer(Struct, frozen=True, array_like=True):
    """What is known under one Kafka key.

    `answers` by metric, the oldest first; `outcomes` by id of the alert or follow-up, the last changed at the end.
    `last_case`: the one that the next alert may join. `asked_at`: when the customer was last asked for something, ms,
    0 for never. `updated_at`: when the last fact about the customer was appended, ms.
    """

    answers: dict[str, list[Answer]] = {}
    outcomes: dict[str, Outcome] = {}
    last_case: str = ""
    asked_at: int = 0
    updated_at: int = 0

    def has_read(self, fact_id: str, revision: int) -> bool:
        """Whether this revision of an alert or follow-up, or a newer one, was read before."""
        outcome = self.outcomes.get(fact_id)
        return outcome is not None and outcome.revision >= revision

    def superseded(self, fact_id: str, at: int) -> bool:
        """Whether an alert appended `at` (ms) has become a follow-up since, or the other way round.

        Both come from the same response on different topics: the retraction of the older one has not been read yet.
        """
        other = self.outcomes.get(counterpart(fact_id))
        return other is not None and other.reason != "retracted" and other.at > at

    def is_followed(self, fact_id: str, at: int) -> bool:
        """Whether the counterpart of an alert or follow-up that was retracted at `at` (ms) has been read already."""
        other = self.outcomes.get(counterpart(fact_id))
        return other is not None and (other.reason != "retracted" or other.at >= at)

    def previous_answer(self, metric: str, answer: Answer, known: Answer | None) -> Answer | None:
        """The answer before this one, of another response; as is `known` where older ones may have been forgotten."""
        answers = self.answers.get(metric, [])
        older = bisect_left(answers, by_time(answer), key=by_time)
        if older and answers[older - 1].response == answer.response:
            older -= 1
        if older:
            return answers[older - 1]
        return known if self.has_forgotten(metric) else None

    def has_answered_better(self) -> bool:
        """Whether an answer is remembered that is not an unhappy one."""
        return not all(answer.unhappy for kept in self.answers.values() for answer in kept)

    def has_forgotten(self, metric: str) -> bool:
        """Whether there may have been older answers than are remembered."""
        return len(self.answers.get(metric, ())) >= _MAX_ANSWERS

    def with_answer(self, metric: str, answer: Answer) -> "Customer":
        """Add an answer, in place of an earlier version of it."""
        others = [a for a in self.answers.get(metric, ()) if a.response != answer.response]
        newest = sorted([*others, answer], key=by_time)[-_MAX_ANSWERS:]
        return replace(self, answers=self.answers | {metric: newest})

    def without_answer(self, response: str, *, unhappy: bool) -> "Customer":
        """Remove what an alert (`unhappy`) or follow-up of a response has added; the other may have replaced it."""
        answers = {
            metric: [a for a in kept if a.response != response or a.unhappy != unhappy]
            for metric, kept in self.answers.items()
        }
        return replace(self, answers=answers)

    def with_outcome(self, fact_id: str, outcome: Outcome) -> "Customer":
        """Add or replace an outcome; it keeps the case that its alert or follow-up has opened earlier."""
        before = self.outcomes.get(fact_id)
        if before is not None and not outcome.opened_case:
            outcome = replace(outcome, opened_case=before.opened_case)
        others = [(name, other) for name, other in self.outcomes.items() if name != fact_id]
        outcomes = dict([*others[-_MAX_OUTCOMES:], (fact_id, outcome)])
        return replace(self, outcomes=outcomes, updated_at=outcome.at)

    def find_answer(self, response: str) -> Answer | None:
        """The answer that a response, by its `response_key`, has given; None if it is not remembered."""
        return next((a for kept in self.answers.values() for a in kept if a.response == response), None)

    def cases(self) -> list[str]:
        """Ids of the cases that alerts of this customer are in or have opened."""
        names = [name for outcome in self.outcomes.values() for name in (outcome.case_id, outcome.opened_case)]
        return [name for name in dict.fromkeys(names) if name.startswith("c-")]

    def suppressed(self) -> list[str]:
        """Ids of the alerts that the cooldown suppressed; they are kept, as another answer may make them worse."""
        return [fact_id for fact_id, outcome in self.outcomes.items() if outcome.reason == COOLDOWN]

    def alerts_in(self, case_id: str) -> set[str]:
        """Ids of this customer's alerts (or the follow-up) that a case is about."""
        return {fact_id for fact_id, outcome in self.outcomes.items() if outcome.case_id == case_id}
