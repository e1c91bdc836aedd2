"""What is made of actions of teams: a step of a case, or a refusal that says why."""

from datetime import datetime

from msgspec.structs import replace

from npsflow.schemas.cases import ActionRefused, Case, TeamAction
from npsflow.schemas.times import DAY, from_rfc3339, to_ms
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.follow_ups import withdraw
from npsflow.streams.recovery.policy import Deadlines, Policy
from npsflow.streams.recovery.state import CaseRecord, Fixing

AT_ONCE = 2 << 20
"""Bytes of cases that an action, or the clock, may change in one step: in it nothing else happens, and all of it is
written three times by one transaction."""


class Actions:
    """Actions on cases."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._keep = policy, int(policy.settings.keep_days * DAY)

    def act(self, work: UnitOfWork, key: str, action: TeamAction) -> None:
        """`key` is that of the record: an alert or follow-up is looked for among those of this customer."""
        if action.action == "fixed":
            self.fixed(work, action)
            return
        file = self._case(work, key, action)
        if file is None:
            said = ActionRefused("no_such_case", action.action_id, action.action, action.by, action.case_id)
            subject = action.case_id or action.alert_id or action.follow_up_id or ""
            work.say("action_refused", key, subject, f"refused.{action.action_id}", said)
            return
        case, context = file
        if any(entry.action_id == action.action_id for entry in case.history):
            return
        if (reason := life.refusal(case, action) or self._overtaken(work, case, action)) is not None:
            case = life.with_entry(
                case, work.at, "action_refused", action.by,
                reason=reason, comment=action.comment, action_id=action.action_id,
            )  # fmt: skip
            work.write(case, context)
            said = ActionRefused(
                reason, action.action_id, action.action, action.by, case.case_id, case.status, action.comment
            )
            work.say("action_refused", case.key, case.case_id, case.revision, said)
            return

        def deadlines() -> Deadlines:
            return self._policy.deadlines(work.at, case.severity or "medium", context)

        case = life.act(case, action, _at(action, case, work.at), self._keep, deadlines)
        work.keep(case, context, case.history[-1].what)
        if action.action == "reopen" and case.kind == "recovery":
            customer = replace(work.customer(case.key), last_case=case.case_id, touched=work.at)
            work.customers[case.key] = withdraw(work, customer, self._keep)

    def _overtaken(self, work: UnitOfWork, case: Case, action: TeamAction) -> str | None:
        """Why it fits this case no more, for what its customer has said since, or None."""
        customer = work.customer(case.key)
        if action.action == "reopen" and case.kind == "recovery":
            other = work.open_case(customer)
            return "other_case_open" if other is not None and other.case.case_id != case.case_id else None
        if action.action in ("resolve", "close_loop"):
            said = (customer.seen[alert_id].at for alert_id in customer.alerts_in(case.case_id))
            return "unhappy_since" if any(at > work.at for at in said) else None  # it stands in another topic
        return None

    def _case(self, work: UnitOfWork, key: str, action: TeamAction) -> CaseRecord | None:
        if action.case_id is not None:
            return work.file(action.case_id)
        name = action.alert_id or action.follow_up_id or ""
        seen = work.customer(key).seen.get(name)
        return work.file(seen.case_id) if seen is not None else None

    def fixed(self, work: UnitOfWork, action: TeamAction, after: str = "") -> None:
        """Everyone whose case was resolved with this root cause is to be told; of very many, those that come next."""
        room, last = AT_ONCE, after
        work.fixing[action.action_id] = None
        for case_id in work.resolved_with(action.root_cause or "", after):
            if room <= 0:
                work.fixing[action.action_id] = Fixing(action, last)
                return
            file, last, room = work.file(case_id), case_id, room - work.size(case_id)
            if file is None or any(entry.action_id == action.action_id for entry in file.case.history):
                continue
            case = life.with_entry(
                file.case, work.at, "assigned", action.by, {"task": "close_loop"},
                reason="fixed", comment=action.comment, root_cause=action.root_cause, assignee=file.case.owner,
                action_id=action.action_id,
            )  # fmt: skip
            work.keep(case, file.context, "assigned")


def _at(action: TeamAction, case: Case, appended: int) -> int:
    """When it was done, as the team says: not before the case was there, nor later than we heard of it.

    What was done before the case began again is not what it needs now: then we go by when we heard of it.
    """
    try:
        said = to_ms(datetime.fromisoformat(action.at)) if action.at is not None else appended
    except (ValueError, TypeError):  # no time, or one without its offset
        said = appended
    if any(entry.what == "reopened" and said < from_rfc3339(entry.at) for entry in case.history):
        return appended
    return min(max(said, from_rfc3339(case.opened_at)), appended)
