"""A customer is forgotten: what is known under that Kafka key, and every case of theirs. No event says whose they were.

A bundle of a department's alerts goes on without theirs. It holds what one of its alerts said, and comments of a team
that may be about anybody in it: both are taken out.
"""

from msgspec.structs import replace

from npsflow.schemas import codec
from npsflow.schemas.events import Context
from npsflow.streams.recovery import case as life
from npsflow.streams.recovery.changes import Memory, UnitOfWork
from npsflow.streams.recovery.state import CaseRecord, Customer


def forget(work: UnitOfWork, memory: Memory, key: str) -> None:
    """All that is kept under `key` goes out with the draft; what is not kept leaves no trace either."""
    customer = memory.customers.get(key) or Customer()
    if key in memory.customers:
        work.customers[key] = None
    # A case that was closed because its alerts were taken back is not known to its customer any more.
    ids = {seen.case_id for seen in customer.seen.values() if seen.case_id}
    ids |= set(memory.cases.holding(b'"key":' + codec.encode(key)))
    for case_id in sorted(ids):
        file = work.file(case_id)
        if file is None or (file.case.key != key and file.case.kind != "bundle"):
            continue
        left = life.without_alerts(file.case, customer.alerts_in(case_id))
        other = _other_member(memory, case_id, key) if left["alert_ids"] or left["more_alerts"] else None
        if other is None:
            work.files[case_id] = None
            continue
        file = _begun_by(file, other) if key in (file.case.key, _said_by(file.context)) else file
        history = tuple(replace(entry, comment=None) for entry in file.case.history)
        case = life.with_entry(
            replace(file.case, **left, history=history), work.at, "noted", life.US, reason="forgotten"
        )
        work.keep(case, file.context, "noted")


def _other_member(memory: Memory, case_id: str, key: str) -> str | None:
    """A customer with an alert in this case, other than `key`."""
    for other in sorted(memory.customers.holding(case_id.encode())):
        known = memory.customers.get(other)
        if other != key and known is not None and any(seen.case_id == case_id for seen in known.seen.values()):
            return other
    return None


def _said_by(context: Context) -> str:
    """The Kafka key of who gave the answer."""
    return context.customer_id or f"{context.source}/{context.response_id}"


def _begun_by(file: CaseRecord, other: str) -> CaseRecord:
    """The bundle as if another had begun it: of the answer that did, what is nobody's is left."""
    case, said = file
    informed = tuple(who for who in case.informed if who != said.primary_contact)
    bare = Context(
        response_id="",
        source=said.source,
        survey_id=said.survey_id,
        metric=said.metric,
        score=said.score,
        category=said.category,
        submitted_at=said.submitted_at,
        department=said.department,
    )
    return CaseRecord(replace(case, key=other, informed=informed, previous_score=None), bare)
