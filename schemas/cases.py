"""Service recovery: what teams say on `recovery-actions`, cases as they stand on `recovery-cases`, events about them.

A case is what has to be done for one unhappy customer, until that customer has been told what was done. It stands under
its id, and events about it on `service-recovery` carry the whole of it. An `ask` is the smaller thing of the same kind:
a question, a referral or a review to be asked of somebody who is not unhappy. The same alert or follow-up under
another customer's key begins another case.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from npsflow.schemas.events import Action, Instant, Severity
from npsflow.schemas.response import MAX_COMMENT, Identifier, Metric, Text, Time
from npsflow.schemas.sealed import MAX_TOKEN, is_sealed

Kind = Literal["recovery", "bundle", "ask"]
"""`bundle`: many alerts of one department at once, as one case."""
Status = Literal["opened", "reopened", "acknowledged", "contacted", "resolved", "loop_closed", "closed"]
Verb = Literal[
    "acknowledge", "contact", "resolve", "close_loop", "reopen", "assign", "note", "done", "declined", "fixed",
    "forget",
]  # fmt: skip

CaseEvent = Literal[
    "opened", "joined", "suppressed", "acknowledged", "contacted", "warned", "escalated", "breached", "resolved",
    "loop_closed", "reopened", "assigned", "noted", "won_back", "closed", "action_refused",
]  # fmt: skip

NO_COMPLAINT = "no_complaint"
"""The root cause of a case that turned out to be none: it needs no comment."""


def event_type(event: CaseEvent) -> str:
    """The `ce_type` of an event about a case."""
    return f"npsflow.case.{event}.v1"


class TeamAction(Struct, frozen=True, omit_defaults=True):
    """What a team did or wants done: `action` on the case that one of three ids names.

    `resolve` needs a `root_cause`, and a `comment` unless that is `no_complaint`; so does `close_loop` of a case that
    is not resolved. `assign` needs an `assignee`, `note` a `comment`; `done` and `declined` are for asks. `fixed`
    names a `root_cause` and no case, and is sent to every partition: all whose case was resolved with it are to be
    told. `forget` names no case either: the customer is the record's key, and all that is kept of
    that customer goes. The same `action_id` twice counts once.
    """

    action_id: Identifier
    action: Verb
    by: Identifier
    at: Instant | None = None
    case_id: Identifier | None = None
    alert_id: Identifier | None = None
    follow_up_id: Identifier | None = None
    comment: Annotated[str, Meta(max_length=MAX_TOKEN)] | None = None
    root_cause: Text | None = None
    assignee: Identifier | None = None


def comment_problem(action: TeamAction) -> str | None:
    """What is wrong with the comment of an action; a token may be longer than the text it stands for."""
    comment = action.comment or ""
    if len(comment) <= MAX_COMMENT or is_sealed(comment):
        return None
    return f"Expected `str` of length <= {MAX_COMMENT} - at `$.comment`"


class CaseAnswer(Struct, frozen=True, omit_defaults=True):
    """An unhappy answer of a case. `severity` and `reasons` as npsflow sees it, with all answers of the customer."""

    alert_id: str
    response_id: str
    source: str
    survey_id: str
    metric: Metric
    score: int
    severity: Severity
    submitted_at: Time
    reasons: tuple[str, ...] = ()
    previous_score: int | None = None
    survey_name: str | None = None
    comment: str | None = None
    channel: str | None = None
    department: str | None = None
    touchpoint: str | None = None


class Entry(Struct, frozen=True, omit_defaults=True):
    """One line of a case's history: what happened when, by whose hand, and why.

    `alert_id`, `metric` and `score`: the answer that it is about; `answer`: the same in full, where it is neither the
    newest nor the worst of the case. `severity`: what the open case has risen to by it.
    """

    at: Instant
    what: CaseEvent
    by: str
    comment: str | None = None
    reason: str | None = None
    root_cause: str | None = None
    assignee: str | None = None
    action_id: str | None = None
    alert_id: str | None = None
    metric: Metric | None = None
    score: int | None = None
    severity: Severity | None = None
    answer: CaseAnswer | None = None


class Due(Struct, frozen=True, array_like=True):
    """What happens to a case by itself at a time, in ms, unless somebody is faster."""

    at: int
    what: Literal["warned", "breached", "escalated", "late", "expired", "forgotten"]
    to: str = ""


class Case(Struct, frozen=True, omit_defaults=True):
    """A case as it stands. `key`: the Kafka key of its alerts; `revision`: how many events there were about it.

    `due_at`: of the first contact, or of an ask; `finish_by`: of the whole. `informed`: who is told besides the owner.
    `message`: what to begin with when the customer is addressed. `task`: what is to be done next if it is no first
    contact. `newest`, `worst`: of the unhappy answers; what the case says of a response (`score`, `comment`, and so on)
    is the worst, and `previous_score` what the same customer gave to the same metric before it. `worsened_at`: when
    its severity rose last. `won_back_by`: the better answer after the first contact, as source/response_id;
    `improved_by`: one that nobody had contacted the customer for. `restarted_at`: from when deadlines count, of a
    case that was reopened. `plan` is for npsflow itself. Of very many
    `alert_ids` the first and the newest are named, `more_alerts` says how many are not. `follow_up_id`: of an ask.
    """

    case_id: str
    kind: Kind
    revision: int
    status: Status
    key: str
    opened_at: Instant
    due_at: Instant
    finish_by: Instant
    alert_ids: tuple[str, ...] = ()
    severity: Severity | None = None
    reasons: tuple[str, ...] = ()
    action: Action | None = None
    owner: str = ""
    informed: tuple[str, ...] = ()
    message: str | None = None
    task: Literal["close_loop"] | None = None
    previous_score: int | None = None
    root_cause: str | None = None
    acknowledged_at: Instant | None = None
    contacted_at: Instant | None = None
    resolved_at: Instant | None = None
    ended_at: Instant | None = None
    won_back_at: Instant | None = None
    won_back_by: str | None = None
    history: tuple[Entry, ...] = ()
    plan: tuple[Due, ...] = ()
    follow_up_id: str | None = None
    more_alerts: int = 0
    newest: CaseAnswer | None = None
    worst: CaseAnswer | None = None
    worsened_at: Instant | None = None
    improved_at: Instant | None = None
    improved_by: str | None = None
    restarted_at: Instant | None = None


class Suppressed(Struct, frozen=True, omit_defaults=True):
    """`npsflow.case.suppressed.v1`: nobody is asked to act, and why; the context of the alert or follow-up follows."""

    reason: str
    alert_id: str | None = None
    follow_up_id: str | None = None
    severity: Severity | None = None


class ActionRefused(Struct, frozen=True, omit_defaults=True):
    """`npsflow.case.action_refused.v1`: an action that changed nothing, and why."""

    reason: str
    action_id: str
    action: Verb
    by: str
    case_id: str | None = None
    status: Status | None = None
    comment: str | None = None
