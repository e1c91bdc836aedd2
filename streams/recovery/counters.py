"""Counters and gauges of recover: their names in its changelog and in metrics."""

from typing import get_args

from npsflow.schemas.cases import CaseEvent
from npsflow.streams.stage import CounterSpec, GaugeSpec, each

READ, CASE, FIRST_CONTACT = "recover", "case", "first_contact"
FORWARDED = "forwarded"
_KINDS = ("alert", "follow_up", "action", FORWARDED, "skipped", "no_contact", "dead")

COUNTERS = (
    CounterSpec(
        READ, "recover_records", "Records that recover has read, by what they are", ("kind",), known=each(_KINDS)
    ),
    CounterSpec(CASE, "case_events", "What happened to cases", ("type",), known=each(get_args(CaseEvent))),
    CounterSpec(
        FIRST_CONTACT,
        "first_contacts",
        "First contacts with unhappy customers",
        ("when",),
        known=each(("in_time", "late")),
    ),
)
CASES = GaugeSpec("cases", "Cases, by where they stand", ("partition", "status"))
OVERDUE = GaugeSpec("overdue_cases", "Cases whose next step should have been done by now", ("partition",))
GAUGES = (CASES, OVERDUE)
