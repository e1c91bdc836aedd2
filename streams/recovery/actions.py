"""Actions of teams: each is a step of a case, or is refused with a reason."""

from datetime import datetime

from msgspec.structs import replace

from npsflow.schemas.cases import ActionRefused, Case, TeamAction
from npsflow.schemas.times import from_rfc3339, to_ms
from npsflow.streams.recovery.case import add_entry, apply_action, find_entry, misdated, refusal
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.follow_ups import withdraw_asks
from npsflow.streams.recovery.policy import Deadlines, Policy
from npsflow.streams.recovery.state import CaseRecord, FixedCause

MAX_STEP_BYTES = 2 << 20
"""Bytes of cases that one action, or one tick, may change: a single transaction writes all of them three times."""


class Actions:
    """What becomes of actions."""

    def __init__(self, policy: Policy, contents: Contents) -> None:
        self._policy, self._contents = policy, contents

    def handle(self, work: UnitOfWork, key: str, action: TeamAction) -> None:
        """Do or refuse an action. An alert or follow-up that it names is looked up under `key`, the record's key."""
        if action.action == "fixed":
            self.assign_fixed(work, action)
            return
        if action.root_cause:
            action = replace(action, root_cause=self._spelling(work, action.root_cause))
        record = _named_case(work, key, action)
        if record is None:
            subject = action.case_id or action.alert_id or action.follow_up_id or ""
            event = ActionRefused("no_such_case", action.action_id, action.action, action.by, action.case_id)
            work.emit_event("action_refused", key, subject, f"refused.{action.action_id}", event)
        elif find_entry(record.case, action.action_id) is None:
            at = _done_at(action, record.case, work.at)
            reason = refusal(record.case, action) or misdated(record.case, at, work.at)
            reason = reason or _conflict(work, record.case, action)
            if reason is not None:
                _refuse(work, record, action, reason)
            else:
                self._act(work, record, action, min(max(at, from_rfc3339(record.case.opened_at)), work.at))

    def _spelling(self, work: UnitOfWork, root_cause: str) -> str:
        """The root cause as the settings spell it, else as cases do."""
        return self._policy.root_cause(root_cause) or work.spelling(root_cause)

    def _act(self, work: UnitOfWork, record: CaseRecord, action: TeamAction, at: int) -> None:
        case, context = record

        def deadlines() -> Deadlines:
            return self._policy.deadlines(at, self._policy.first_contact_hours(case.severity or "medium", context))

        changed = CaseRecord(apply_action(case, action, at, self._policy.retention, deadlines), context)
        work.emit_case(self._contents.complete(work, changed) if action.action == "reopen" else changed)
        self._contents.judge(work, case.case_id)
        if action.action == "reopen" and case.kind == "recovery":
            customer = replace(work.customer(case.key), last_case=case.case_id, updated_at=work.at)
            work.customers[case.key] = withdraw_asks(work, customer, self._policy.retention)

    def assign_fixed(self, work: UnitOfWork, action: TeamAction, after: str = "") -> None:
        """Ask the owners of all cases resolved with the action's root cause to tell their customers that it is fixed.

        Where there are too many for one step, those with the smallest ids come first, and the rest stays in
        `fixed_causes`; `after` is the last case id of the step before.
        """
        room, last = MAX_STEP_BYTES, after
        work.fixed_causes[action.action_id] = None
        for case_id in work.resolved_with(action.root_cause or "", after):
            if room <= 0:
                work.fixed_causes[action.action_id] = FixedCause(action, last)
                return
            record, last, room = work.case(case_id), case_id, room - work.case_size(case_id)
            if record is not None and find_entry(record.case, action.action_id) is None:
                work.record_step(
                    record, "assigned", {"task": "close_loop"},
                    by=action.by, reason="fixed", comment=action.comment, root_cause=action.root_cause,
                    assignee=record.case.owner, action_id=action.action_id,
                )  # fmt: skip


def _named_case(work: UnitOfWork, key: str, action: TeamAction) -> CaseRecord | None:
    if action.case_id is not None:
        return work.case(action.case_id)
    outcome = work.customer(key).outcomes.get(action.alert_id or action.follow_up_id or "")
    return work.case(outcome.case_id) if outcome is not None else None


def _conflict(work: UnitOfWork, case: Case, action: TeamAction) -> str | None:
    """Why an action does not fit what else is known of the customer, or None."""
    customer = work.customer(case.key)
    if action.action == "reopen" and case.kind == "recovery":
        other = work.open_case(customer)
        return "other_case_open" if other is not None and other.case.case_id != case.case_id else None
    if action.action in ("resolve", "close_loop"):
        # Alerts are read from another topic: one that came after the action may be here before it.
        newer = any(customer.outcomes[alert_id].at > work.at for alert_id in customer.alerts_in(case.case_id))
        return "unhappy_since" if newer else None
    return None


def _refuse(work: UnitOfWork, record: CaseRecord, action: TeamAction, reason: str) -> None:
    case = add_entry(
        record.case, work.time, "action_refused",
        by=action.by, reason=reason, comment=action.comment, action_id=action.action_id,
    )  # fmt: skip
    work.put_case(CaseRecord(case, record.context))
    event = ActionRefused(
        reason=reason,
        action_id=action.action_id,
        action=action.action,
        by=action.by,
        case_id=case.case_id,
        status=case.status,
        comment=action.comment,
    )
    work.emit_event("action_refused", case.key, case.case_id, case.revision, event)


def _done_at(action: TeamAction, case: Case, appended: int) -> int:
    """Give when an action was done, ms: as the team says.

    An action done before the case was reopened counts from when it was appended: it is not what the case needs now.
    """
    if action.action == "reopen":
        return appended  # its deadlines count from then
    try:
        at = to_ms(datetime.fromisoformat(action.at)) if action.at is not None else appended
    except (ValueError, TypeError):  # no time, or one without an offset
        return appended
    opened = from_rfc3339(case.opened_at)
    reopened = any(entry.what == "reopened" and opened <= at < from_rfc3339(entry.at) for entry in case.history)
    return appended if reopened else at
