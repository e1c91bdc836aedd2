"""Counters and gauges of recover: their names in its changelog and in metrics."""

from npsflow.streams.stage import CounterSpec, GaugeSpec

READ, CASE, FIRST_CONTACT = "recover", "case", "first_contact"
FORWARDED = "forwarded"
"""A kind of READ."""
COUNTERS = (
    CounterSpec(READ, "recover_records", "Records that recover has read, by what they are", ("kind",)),
    CounterSpec(CASE, "case_events", "What happened to cases", ("type",)),
    CounterSpec(FIRST_CONTACT, "first_contacts", "First contacts with unhappy customers", ("when",)),
)
CASES = GaugeSpec("cases", "Cases, by where they stand", ("partition", "status"))
OVERDUE = GaugeSpec("overdue_cases", "Cases whose next step should have been done by now", ("partition",))
GAUGES = (CASES, OVERDUE)
