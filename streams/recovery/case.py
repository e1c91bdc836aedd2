"""One case: what each action and each deadline makes of it. Pure; every step adds an entry to the history."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.cases import NO_COMPLAINT, Case, CaseEvent, Due, Entry, Status, TeamAction
from npsflow.schemas.events import Instant
from npsflow.schemas.times import MINUTE, from_rfc3339, rfc3339
from npsflow.streams.recovery.policy import Deadlines, by_due
from npsflow.streams.scoring.severity import STALE_AFTER

Changes = dict[str, Any]
"""Fields of a Case and their new values."""

NPSFLOW = "npsflow"
"""`by` in the entries of what no person did."""

_MAX_ENTRIES, _MAX_REFUSALS = 200, 50  # of a history: refused actions displace nothing that was done
_MAX_HISTORY_BYTES = 768 << 10  # as JSON: with the context of the alert it fits into one record
_MAX_ALERTS = 500  # every event names them all: a bundle of thousands would not fit into a record
_RANK: dict[Status, int] = {
    "opened": 0, "reopened": 0, "acknowledged": 1, "contacted": 2, "resolved": 3, "loop_closed": 4, "closed": 5,
}  # fmt: skip
_REACHES: dict[str, Status] = {
    "acknowledge": "acknowledged", "contact": "contacted", "resolve": "resolved", "close_loop": "loop_closed",
}  # fmt: skip
_EVENTS: dict[str, CaseEvent] = {
    "acknowledge": "acknowledged", "contact": "contacted", "resolve": "resolved", "close_loop": "loop_closed",
    "assign": "assigned", "note": "noted", "reopen": "reopened", "done": "closed", "declined": "closed",
}  # fmt: skip
CLOSED: tuple[Status, ...] = ("loop_closed", "closed")
"""Where nothing is left to do."""

_CONTACT_REMINDERS = ("warned", "breached", "escalated")  # these end with the first contact
_FOR_ASKS = ("done", "declined")
_CLOCK_SKEW = MINUTE  # between the clocks of a team and of the broker


def is_open(case: Case) -> bool:
    """Whether anything is left to do."""
    return case.status not in CLOSED


def is_overdue(case: Case) -> bool:
    """Whether a deadline has passed without what had to be done by then, as far as the plan says: it has no clock."""
    if not is_open(case) or case.kind == "ask":
        return False
    planned = {due.what for due in case.plan}
    return "late" not in planned or (case.contacted_at is None and "breached" not in planned)


def next_deadline(case: Case) -> int | None:
    """Give by when the next step has to be done, ms: the first contact (or the ask), then the whole; None if closed.

    By opening hours the first contact may be due after the whole: then the earlier deadline, of the whole, counts.
    """
    if not is_open(case):
        return None
    finish = from_rfc3339(case.finish_by)
    return min(from_rfc3339(case.due_at), finish) if case.contacted_at is None else finish


def contacted_late(case: Case) -> bool | None:
    """Whether the first contact came after it was due; None if there was none, or the case is an ask."""
    return None if case.contacted_at is None or case.kind == "ask" else case.contacted_at > case.due_at


def find_entry(case: Case, action_id: str) -> Entry | None:
    """Give what came of an action; None if the case has not read it."""
    return next((entry for entry in reversed(case.history) if entry.action_id == action_id), None)


def add_entry(
    case: Case, time: Instant, event: CaseEvent, changes: Changes | None = None, *, by: str = NPSFLOW, **fields: Any
) -> Case:
    """Take one step at a `time`: apply `changes`, add an entry made of `event`, `by` and its other `fields`."""
    history = _bounded((*case.history, Entry(time, event, by, **fields)))
    return replace(case, revision=case.revision + 1, history=history, **(changes or {}))


def add_alert(case: Case, alert_id: str) -> Changes:
    """What changes when an alert joins the case. Of very many the first, the worst and the newest stay named."""
    ids = tuple(dict.fromkeys((*case.alert_ids, alert_id)))
    if len(ids) <= _MAX_ALERTS:
        return {"alert_ids": ids}
    unnamed = ids[1] if case.worst is None or case.worst.alert_id != ids[1] else ids[2]
    return {"alert_ids": tuple(name for name in ids if name != unnamed), "more_alerts": case.more_alerts + 1}


def remove_alerts(case: Case, alert_ids: Collection[str]) -> Changes:
    """What changes when the case is not about these of its alerts any more."""
    left = tuple(alert_id for alert_id in case.alert_ids if alert_id not in alert_ids)
    unnamed = len(alert_ids) - (len(case.alert_ids) - len(left))
    return {"alert_ids": left, "more_alerts": max(0, case.more_alerts - unnamed)}


def refusal(case: Case, action: TeamAction) -> str | None:
    """Why an action cannot be done to the case in its present status, or None."""
    verb = action.action
    if (case.kind == "ask") != (verb in _FOR_ASKS) and verb not in ("note", "assign"):
        return "not_for_asks" if case.kind == "ask" else "only_for_asks"
    if verb == "reopen":
        return None if _RANK[case.status] >= _RANK["resolved"] else "still_open"
    if verb == "note":
        return None if action.comment else "comment_missing"
    if not is_open(case):
        return f"is_{case.status}"
    if verb == "assign":
        return None if action.assignee else "assignee_missing"
    resolves = verb == "resolve" or (verb == "close_loop" and case.status != "resolved")
    if resolves and (missing := _missing_for_resolve(action)):
        return missing
    return f"is_{case.status}" if verb in _REACHES and _RANK[_REACHES[verb]] <= _RANK[case.status] else None


def _missing_for_resolve(action: TeamAction) -> str | None:
    if not action.root_cause:
        return "root_cause_missing"
    return None if action.comment or action.root_cause == NO_COMPLAINT else "comment_missing"


def misdated(case: Case, at: int, appended: int) -> str | None:
    """Why an action cannot have been done at this time, or None. `appended`: when it was reported; both in ms."""
    if at < from_rfc3339(case.opened_at) - _CLOCK_SKEW:
        return "before_the_case"
    return "in_the_future" if at > appended + _CLOCK_SKEW else None


def apply_action(case: Case, action: TeamAction, at: int, retention: int, deadlines: Callable[[], Deadlines]) -> Case:
    """Do an action that `refusal` lets pass. `at` and `retention` (how long a closed case is kept) in ms.

    `deadlines` gives the new ones of a case that is reopened.
    """
    verb, changes = action.action, Changes()
    if verb in _REACHES:
        changes = _reach(case, _REACHES[verb], at, retention)
        if verb in ("resolve", "close_loop"):
            changes["root_cause"] = action.root_cause or case.root_cause
    elif verb == "assign":
        changes = {"owner": action.assignee}
    elif verb == "reopen":
        changes = reopen(deadlines(), at)
    elif verb in _FOR_ASKS:
        changes = close(at, retention)
    return add_entry(
        case, rfc3339(at), _EVENTS[verb], changes,
        by=action.by, comment=action.comment, root_cause=action.root_cause, assignee=action.assignee,
        action_id=action.action_id, reason=verb if verb in _FOR_ASKS else None,
    )  # fmt: skip


def _reach(case: Case, status: Status, at: int, retention: int) -> Changes:
    """What changes with a status: whoever resolves a case or closes its loop has contacted the customer."""
    now = rfc3339(at)
    changes: Changes = {"status": status}
    if status == "acknowledged":
        return changes | {"acknowledged_at": now}
    if case.contacted_at is None:
        changes["contacted_at"] = now
    changes["plan"] = tuple(due for due in case.plan if due.what not in _CONTACT_REMINDERS)
    if status == "resolved":
        changes["resolved_at"] = now
    if status == "loop_closed":
        changes |= close(at, retention) | {"status": status}
    return changes


def close(at: int, retention: int) -> Changes:
    """What changes when nothing is left to do: it is forgotten `retention` ms after `at` (ms)."""
    return {"status": "closed", "ended_at": rfc3339(at), "plan": (Due(at + retention, "forgotten"),), "task": None}


def reopen(deadlines: Deadlines, start: int) -> Changes:
    """What changes when a case begins again; `start`: from when its deadlines count, ms."""
    return {
        "status": "reopened", "due_at": rfc3339(deadlines.due), "finish_by": rfc3339(deadlines.finish),
        "plan": deadlines.plan, "acknowledged_at": None, "contacted_at": None, "resolved_at": None, "ended_at": None,
        "root_cause": None, "task": None, "restarted_at": rfc3339(start),
        "won_back_at": None, "won_back_by": None, "improved_at": None, "improved_by": None,
    }  # fmt: skip


def keep_deadlines(case: Case, deadlines: Sequence[Deadlines]) -> Changes:
    """What changes when these are the deadlines of the alerts of an open case: of each step the earliest counts.

    A step that is over does not come back, and after the first contact it is settled whether that was in time.
    """
    earliest: dict[tuple[str, str, int], int] = {}
    for one in deadlines:
        for name, at in _numbered(one.plan).items():
            earliest[name] = min(at, earliest.get(name, at))
    if _is_reminded(case):
        earliest = {name: earliest.get(name, at) for name, at in _numbered(case.plan).items()}
    plan = [Due(at, what, to) for (what, to, _), at in earliest.items()]  # type: ignore[arg-type]
    changes: Changes = {"finish_by": rfc3339(min(one.finish for one in deadlines))}
    if case.contacted_at is None:
        changes["due_at"] = rfc3339(min(one.due for one in deadlines))
    else:
        plan = [due for due in plan if due.what not in _CONTACT_REMINDERS]
    return changes | {"plan": tuple(sorted(plan, key=by_due))}


def _numbered(plan: Iterable[Due]) -> dict[tuple[str, str, int], int]:
    """The time of each step, by its name; of two equal steps the earlier may be over, so the last has number 0."""
    times: dict[tuple[str, str, int], int] = {}
    later: dict[tuple[str, str], int] = {}
    for due in sorted(plan, key=by_due, reverse=True):
        name = due.what, due.to
        times[*name, later.get(name, 0)] = due.at
        later[name] = later.get(name, 0) + 1
    return times


def _is_reminded(case: Case) -> bool:
    """Whether somebody was reminded since the case began, or began again: it has done steps of its plan."""
    for entry in reversed(case.history):
        if entry.what in ("opened", "reopened"):
            return False
        if entry.what in _CONTACT_REMINDERS and entry.by == NPSFLOW:
            return True
    return bool(case.history)  # it is longer than what is kept


def apply_deadline(case: Case, now: int, retention: int) -> Case | None:
    """Do the first step of the plan, which is due; None if that is to forget the case. `now` and `retention` in ms."""
    due, time = case.plan[0], rfc3339(now)
    rest: Changes = {"plan": case.plan[1:]}
    match due.what:
        case "warned" | "breached" | "escalated" if _is_stale(case, now):
            # Recover was away, or has begun on a topic that goes far back: nobody is alerted to last month's alerts.
            return add_entry(case, time, "closed", close(now, retention), reason="stale")
        case "warned" | "breached":
            return add_entry(case, time, due.what, rest, reason="first_contact")
        case "escalated":
            rest["informed"] = tuple(dict.fromkeys((*case.informed, due.to)))
            return add_entry(case, time, "escalated", rest, reason="first_contact", assignee=due.to)
        case "late":
            return add_entry(case, time, "breached", rest, reason="finish_by")
        case "expired":
            return add_entry(case, time, "closed", close(now, retention), reason="expired")
        case "forgotten":
            return None


def _is_stale(case: Case, now: int) -> bool:
    """Whether nobody has worked on the case or was reminded of it, and everything about it is old."""
    if any(entry.by != NPSFLOW or entry.what in _CONTACT_REMINDERS for entry in case.history):
        return False
    return now - max(case.plan[0].at, from_rfc3339(case.history[-1].at)) > STALE_AFTER


def _bounded(history: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Keep the newest entries. If they are too large for a record, drop the oldest comments, then whole entries.

    An entry without its comment still shows that its action was done, so that the same action counts once.
    """
    refusals = [entry.what for entry in history].count("action_refused")
    too_many = refusals > _MAX_REFUSALS or len(history) - refusals > _MAX_ENTRIES
    excess = len(codec.encode(history)) - _MAX_HISTORY_BYTES
    return _shortened(history) if too_many or excess > 0 else history


def _shortened(history: tuple[Entry, ...]) -> tuple[Entry, ...]:
    refused = [number for number, entry in enumerate(history) if entry.what == "action_refused"]
    done = [number for number, entry in enumerate(history) if entry.what != "action_refused"]
    droppable = [*refused[-_MAX_REFUSALS:], *done[-_MAX_ENTRIES:]]
    kept = {number: history[number] for number in sorted(droppable)}
    excess = len(codec.encode(tuple(kept.values()))) - _MAX_HISTORY_BYTES
    for number in droppable:
        entry = kept[number]
        if excess > 0 and entry.comment:
            kept[number] = replace(entry, comment=None)
            excess -= len(codec.encode(entry)) - len(codec.encode(kept[number]))
    for number in droppable:
        if excess > 0:
            excess -= len(codec.encode(kept.pop(number)))
    return tuple(kept.values())
