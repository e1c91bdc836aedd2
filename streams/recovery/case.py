"""The life of one case: what each action and each deadline makes of it. Pure; every step adds a line to its history."""

from collections.abc import Callable, Collection
from typing import Any

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.cases import NO_COMPLAINT, Case, Due, Entry, Happening, Status, TeamAction
from npsflow.schemas.events import Severity
from npsflow.schemas.times import from_rfc3339, rfc3339
from npsflow.streams.recovery.policy import Deadlines, worse
from npsflow.streams.scoring.severity import STALE_AFTER

US = "npsflow"
"""By whose hand things happen that nobody did."""

_MOST_ENTRIES, _MOST_REFUSED = 200, 50  # of a history; what was refused displaces nothing that was done
_MOST_ALERTS = 500  # each event names them all: a bundle of thousands would be more than a record holds
_ORDER: dict[Status, int] = {
    "opened": 0, "reopened": 0, "acknowledged": 1, "contacted": 2, "resolved": 3, "loop_closed": 4, "closed": 5,
}  # fmt: skip
_LEADS_TO: dict[str, tuple[Happening, Status]] = {
    "acknowledge": ("acknowledged", "acknowledged"),
    "contact": ("contacted", "contacted"),
    "resolve": ("resolved", "resolved"),
    "close_loop": ("loop_closed", "loop_closed"),
}
_CONTACT = ("warned", "breached", "escalated")
_FOR_ASKS = ("done", "declined")
_MOST_BYTES = 768 << 10  # of all entries, as JSON: with what the customer said they are one record


def ended(case: Case) -> bool:
    """Whether nothing is left to be done."""
    return case.status in ("loop_closed", "closed")


def overdue(case: Case) -> bool:
    """Whether a deadline has passed without what was to be done by then; as far as the case has been told so."""
    if ended(case) or case.kind == "ask":
        return False
    left = {due.what for due in case.plan}
    return "late" not in left or (case.contacted_at is None and "breached" not in left)


def with_entry(case: Case, at: int, what: Happening, by: str, changes: dict[str, Any] | None = None, **of: Any) -> Case:
    """One step on: `changes` of the case, `of` the entry."""
    history = _bounded((*case.history, Entry(rfc3339(at), what, by, **of)))
    return replace(case, revision=case.revision + 1, history=history, **(changes or {}))


def with_alert(case: Case, alert_id: str) -> dict[str, Any]:
    """What changes when an alert belongs to it too."""
    ids = tuple(dict.fromkeys((*case.alert_ids, alert_id)))
    if len(ids) <= _MOST_ALERTS:
        return {"alert_ids": ids}
    return {"alert_ids": (ids[0], *ids[2:]), "more_alerts": case.more_alerts + 1}


def without_alerts(case: Case, alert_ids: Collection[str]) -> dict[str, Any]:
    """What changes when these of its alerts are none any more."""
    left = tuple(alert_id for alert_id in case.alert_ids if alert_id not in alert_ids)
    not_named = len(alert_ids) - (len(case.alert_ids) - len(left))
    return {"alert_ids": left, "more_alerts": max(0, case.more_alerts - not_named)}


def refusal(case: Case, action: TeamAction) -> str | None:
    """Why this cannot be done to a case as it stands, or None."""
    verb = action.action
    if (case.kind == "ask") != (verb in _FOR_ASKS) and verb not in ("note", "assign"):
        return "not_for_asks" if case.kind == "ask" else "only_for_asks"
    if verb == "reopen":
        return None if _ORDER[case.status] >= _ORDER["resolved"] else "still_open"
    if verb == "note":
        return None if action.comment else "comment_missing"
    if ended(case):
        return f"is_{case.status}"
    if verb == "assign":
        return None if action.assignee else "assignee_missing"
    if verb == "resolve":
        if not action.root_cause:
            return "root_cause_missing"
        if not action.comment and action.root_cause != NO_COMPLAINT:
            return "comment_missing"
    if verb in _LEADS_TO and _ORDER[_LEADS_TO[verb][1]] <= _ORDER[case.status]:
        return f"is_{case.status}"
    return None


def _bounded(history: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The newest entries; where they are too large for a record, the oldest comments go first, then whole entries.

    An action is known by its entry to have been done: without its comment it still counts once.
    """
    refused = [number for number, entry in enumerate(history) if _is_refusal(entry)]
    done = [number for number, entry in enumerate(history) if not _is_refusal(entry)]
    refused, done = refused[-_MOST_REFUSED:], done[-_MOST_ENTRIES:]
    kept = {number: history[number] for number in sorted(refused + done)}
    over = len(codec.encode(tuple(kept.values()))) - _MOST_BYTES
    for number in refused + done:
        entry = kept[number]
        if over > 0 and entry.comment:
            kept[number] = replace(entry, comment=None)
            over -= len(codec.encode(entry)) - len(codec.encode(kept[number]))
    for number in refused + done:
        if over > 0:
            over -= len(codec.encode(kept.pop(number)))
    return tuple(kept.values())


def _is_refusal(entry: Entry) -> bool:
    return entry.what == "action_refused"


def act(case: Case, action: TeamAction, at: int, keep: int, deadlines: Callable[[], Deadlines]) -> Case:
    """An action that was not refused; `at` in ms, `keep` ms after its end it is forgotten."""
    verb, changes, what = action.action, dict[str, Any](), _WHAT.get(action.action)
    if verb in _LEADS_TO:
        what, status = _LEADS_TO[verb]
        changes = _reached(case, status, at, keep)
        if verb == "resolve":
            changes["root_cause"] = action.root_cause
    elif verb == "assign":
        changes = {"owner": action.assignee}
    elif verb == "reopen":
        changes = reopening(deadlines())
    elif verb in _FOR_ASKS:
        changes = ending(at, keep)
    assert what is not None
    return with_entry(
        case, at, what, action.by, changes,
        comment=action.comment, root_cause=action.root_cause, assignee=action.assignee, action_id=action.action_id,
        reason=verb if verb in _FOR_ASKS else None,
    )  # fmt: skip


_WHAT: dict[str, Happening] = {
    "assign": "assigned", "note": "noted", "reopen": "reopened", "done": "closed", "declined": "closed",
}  # fmt: skip


def _reached(case: Case, status: Status, at: int, keep: int) -> dict[str, Any]:
    """What changes with a status; who resolves has been in contact."""
    now = rfc3339(at)
    changes: dict[str, Any] = {"status": status}
    if status == "acknowledged":
        return changes | {"acknowledged_at": now}
    if case.contacted_at is None:
        changes["contacted_at"] = now
    changes["plan"] = tuple(due for due in case.plan if due.what not in _CONTACT)
    if status == "resolved":
        changes["resolved_at"] = now
    if status == "loop_closed":
        changes |= ending(at, keep) | {"status": status, "task": None}
    return changes


def ending(at: int, keep: int) -> dict[str, Any]:
    """What changes when nothing is left to be done."""
    return {"status": "closed", "ended_at": rfc3339(at), "plan": (Due(at + keep, "forgotten"),), "task": None}


def reopening(deadlines: Deadlines) -> dict[str, Any]:
    """What changes when all begins once more."""
    return {
        "status": "reopened", "due_at": rfc3339(deadlines.due), "finish_by": rfc3339(deadlines.finish),
        "plan": deadlines.plan, "acknowledged_at": None, "contacted_at": None, "resolved_at": None, "ended_at": None,
        "root_cause": None, "task": None,
    }  # fmt: skip


def sharpened(case: Case, severity: Severity, reasons: tuple[str, ...], deadlines: Deadlines) -> dict[str, Any]:
    """What changes with an alert, or what is known of it now: it may be worse, and less time for what is to come."""
    fresh: dict[tuple[str, str], list[int]] = {}
    for due in deadlines.plan:
        fresh.setdefault((due.what, due.to), []).append(due.at)
    earliest = []
    for due in reversed(case.plan):  # of two steps alike the first one may have been
        ats = fresh.get((due.what, due.to))
        earliest.append(Due(min(due.at, ats.pop()), due.what, due.to) if ats else due)
    changes: dict[str, Any] = {"plan": tuple(sorted(earliest, key=lambda due: due.at))}
    if case.severity is None or worse(severity, case.severity):
        changes |= {"severity": severity, "reasons": tuple(dict.fromkeys((*case.reasons, *reasons)))}
    if case.contacted_at is None:  # else whether that was in time has been told
        changes["due_at"] = min(case.due_at, rfc3339(deadlines.due))
    return changes


def by_itself(case: Case, now: int, keep: int) -> Case:
    """The first of its plan, which is due."""
    due, plan = case.plan[0], case.plan[1:]
    match due.what:
        case "warned" | "breached" | "escalated" if _long_ago(case, now):
            # Recover has just begun on a topic that goes far back, or was away: nobody is told of last month's alerts.
            return with_entry(case, now, "closed", US, ending(now, keep), reason="stale")
        case "warned":
            return with_entry(case, now, "warned", US, {"plan": plan}, reason="first_contact")
        case "breached":
            return with_entry(case, now, "breached", US, {"plan": plan}, reason="first_contact")
        case "escalated":
            informed = tuple(dict.fromkeys((*case.informed, due.to)))
            changes = {"plan": plan, "informed": informed}
            return with_entry(case, now, "escalated", US, changes, reason="first_contact", assignee=due.to)
        case "late":
            return with_entry(case, now, "breached", US, {"plan": plan}, reason="finish_by")
        case "expired":
            return with_entry(case, now, "closed", US, ending(now, keep), reason="expired")
        case "forgotten":
            raise ValueError("nothing happens to a case that is forgotten")


def _long_ago(case: Case, now: int) -> bool:
    """Whether nobody has done anything about it, or was told to, and all there is to it is old."""
    if any(entry.by != US or entry.what in _CONTACT for entry in case.history):
        return False
    return now - max(case.plan[0].at, from_rfc3339(case.history[-1].at)) > STALE_AFTER
