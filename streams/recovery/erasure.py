"""Forgets a customer: what is known under a Kafka key, and every case of it. No event names the customer.

A bundle of a department's alerts goes on without those of the customer. It may hold the context of one of them, and
comments of a team about anybody in it: both are removed.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.cases import Entry
from npsflow.schemas.events import Context
from npsflow.streams.recovery.case import remove_alerts
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.contents import Contents
from npsflow.streams.recovery.customers import Customer, response_key
from npsflow.streams.recovery.standing import StandingAlert
from npsflow.streams.recovery.state import CaseRecord, RecoveryState


def forget(work: UnitOfWork, state: RecoveryState, contents: Contents, key: str) -> None:
    """Remove all that is kept under `key`. A key under which nothing is kept leaves no trace either."""
    customer = state.customers.get(key) or Customer()
    if key in state.customers:
        work.customers[key] = None
    alerts = _alerts(state, key)
    # The customer no longer refers to a case that was closed because its alerts were retracted.
    case_ids = {outcome.case_id for outcome in customer.outcomes.values() if outcome.case_id}
    case_ids |= set(state.cases.keys_containing(b'"key":' + codec.encode(key)))
    for case_id in sorted(case_ids | {alert.case_id for alert in alerts}):
        record = work.case(case_id)
        if record is not None and (record.case.key == key or record.case.kind == "bundle"):
            gone = {alert.alert_id: alert.contact for alert in alerts if alert.case_id == case_id}
            _forget_in_case(work, state, contents, record, key, dict.fromkeys(customer.alerts_in(case_id), "") | gone)


def _alerts(state: RecoveryState, key: str) -> list[StandingAlert]:
    """The alerts in cases that are a customer's, also those of which the customer's own record names no more."""
    found = map(state.alerts.get, state.alerts.keys_containing(key.encode()))
    return [alert for alert in found if alert is not None and alert.key == key]


def _forget_in_case(
    work: UnitOfWork, state: RecoveryState, contents: Contents, record: CaseRecord, key: str, gone: Mapping[str, str]
) -> None:
    """Remove a case, or from a bundle of several customers what is about this one.

    `gone`: the ids of this customer's alerts, and who is their contact.
    """
    case, context = record
    changes = remove_alerts(case, gone)
    other = _other_member(state, case.case_id, key) if changes["alert_ids"] or changes["more_alerts"] else None
    if other is None:
        work.delete_case(case.case_id)
        return
    contacts = set(gone.values())
    if key in (case.key, _customer_key(context)):
        changes["key"] = other
        contacts.add(context.primary_contact or "")
        record = _anonymised(record)
    changes["informed"] = tuple(name for name in case.informed if name not in contacts)
    history = tuple(_anonymous(entry, gone) for entry in case.history)
    record = record._replace(case=replace(record.case, history=history))
    contents.step(work, record, "noted", changes, reason="forgotten")


def _other_member(state: RecoveryState, case_id: str, key: str) -> str | None:
    """Give the key of a customer with an alert in a case, other than `key`."""
    for other in sorted(state.customers.keys_containing(case_id.encode())):
        customer = state.customers.get(other)
        if other != key and customer is not None and customer.alerts_in(case_id):
            return other
    return None


def _customer_key(context: Context) -> str:
    """Give the Kafka key under which a response comes."""
    return context.customer_id or response_key(context.source, context.response_id)


def _anonymous(entry: Entry, alert_ids: Collection[str]) -> Entry:
    """A line of the history without what was written by hand, and without the customer's answer."""
    if entry.alert_id in alert_ids:
        entry = replace(entry, alert_id=None, metric=None, score=None)
    return replace(entry, comment=None, answer=None)


def _anonymised(record: CaseRecord) -> CaseRecord:
    """Of the answer that a bundle shows, only what is nobody's stays."""
    case, context = record
    anonymous = Context(
        response_id="",
        source=context.source,
        survey_id=context.survey_id,
        metric=context.metric,
        score=context.score,
        category=context.category,
        submitted_at=context.submitted_at,
        department=context.department,
    )
    return CaseRecord(replace(case, previous_score=None, newest=None, worst=None), anonymous)
