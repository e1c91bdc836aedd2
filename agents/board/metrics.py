"""The metrics of the board and of its cases. Labels are words of npsflow, never a customer or owner."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from npsflow.schemas.times import rfc3339
from npsflow.streams.recovery.case_index import CaseIndex


class Metrics:
    """Registered with `registry`; `cases` are counted at each scrape. `clock` in seconds."""

    def __init__(self, registry: CollectorRegistry, cases: CaseIndex, clock: Callable[[], float] = time.time) -> None:
        self.registry = registry
        self.requests = Counter(
            "npsflow_board_requests", "Requests, by page and answer", ("page", "status"), registry=registry
        )
        self.connections_refused = Counter(
            "npsflow_board_connections_refused", "Connections beyond the limit, in all or of one", registry=registry
        )
        self.connections_cut = Counter(
            "npsflow_board_connections_cut", "Connections that took too long over a step", registry=registry
        )
        registry.register(_CaseCollector(cases, clock))


class _CaseCollector(Collector):
    def __init__(self, cases: CaseIndex, clock: Callable[[], float]) -> None:
        self._cases, self._clock = cases, clock

    def collect(self) -> Iterable[GaugeMetricFamily]:
        now, overdue = rfc3339(int(self._clock() * 1000)), 0
        by_status, contacts = Tally[tuple[str, str]](), Tally[str]()
        for listed in self._cases:
            by_status[listed.kind, listed.status] += 1
            overdue += listed.overdue(now)
            if listed.contacted_late is not None:
                contacts["late" if listed.contacted_late else "in_time"] += 1
        cases = GaugeMetricFamily("npsflow_board_cases", "Cases that are known", labels=("kind", "status"))
        for labels, count in sorted(by_status.items()):
            cases.add_metric(labels, count)
        yield cases
        yield GaugeMetricFamily("npsflow_board_overdue_cases", "Cases whose next step is late", overdue)
        first = GaugeMetricFamily("npsflow_board_first_contacts", "Cases with a first contact", labels=("when",))
        for when in ("in_time", "late"):
            first.add_metric([when], contacts[when])
        yield first
