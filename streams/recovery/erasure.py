"""Forgets a customer: what is known under a Kafka key, and every case of it. No event names the customer.

A bundle of a department's alerts goes on without those of the customer. It may hold the context of one of them, and
comments of a team about anybody in it: both are removed.
"""

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.events import Context
from npsflow.streams.recovery.case import remove_alerts
from npsflow.streams.recovery.changes import UnitOfWork
from npsflow.streams.recovery.customers import Customer, response_key
from npsflow.streams.recovery.state import CaseRecord, RecoveryState


def forget(work: UnitOfWork, state: RecoveryState, key: str) -> None:
    """Remove all that is kept under `key`. A key under which nothing is kept leaves no trace either."""
    customer = state.customers.get(key) or Customer()
    if key in state.customers:
        work.customers[key] = None
    # The customer no longer refers to a case that was closed because its alerts were retracted.
    case_ids = {outcome.case_id for outcome in customer.outcomes.values() if outcome.case_id}
    case_ids |= set(state.cases.keys_containing(b'"key":' + codec.encode(key)))
    for case_id in sorted(case_ids):
        record = work.case(case_id)
        if record is not None and (record.case.key == key or record.case.kind == "bundle"):
            _forget_in_case(work, state, record, key, customer.alerts_in(case_id))


def _forget_in_case(work: UnitOfWork, state: RecoveryState, record: CaseRecord, key: str, alert_ids: set[str]) -> None:
    """Remove a case, or from a bundle of several customers what is about this one."""
    case_id, changes = record.case.case_id, remove_alerts(record.case, alert_ids)
    other = _other_member(state, case_id, key) if changes["alert_ids"] or changes["more_alerts"] else None
    if other is None:
        work.cases[case_id] = None
        return
    if key in (record.case.key, _customer_key(record.context)):
        record = _anonymised(record, other)
    history = tuple(replace(entry, comment=None) for entry in record.case.history)
    record = record._replace(case=replace(record.case, history=history))
    work.record_step(record, "noted", changes, reason="forgotten")


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


def _anonymised(record: CaseRecord, other: str) -> CaseRecord:
    """Make a bundle as if `other` had opened it; of the answer that did, only what is nobody's stays."""
    case, context = record
    informed = tuple(name for name in case.informed if name != context.primary_contact)
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
    return CaseRecord(replace(case, key=other, informed=informed, previous_score=None), anonymous)
