"""(b) scores by department, (d) dead letters by reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from npsflow.agents.demo import show
from npsflow.agents.demo.sample import DROPPED_DEPARTMENT
from npsflow.agents.demo.workers import DemoFailed
from npsflow.streams.stage import Record

_DAY, _WEEK = "24h", "7d"


def departments(windows: Iterable[Mapping[str, Any]]) -> None:
    """NPS of each department, the last day beside the week. Raises DemoFailed unless the planted drop shows."""
    by_department = {
        (w["segment"]["department"], w["window"]): w
        for w in windows
        if w["metric"] == "nps" and w["segment"].keys() == {"department"} and w["window"] in (_DAY, _WEEK)
    }
    body, dropped = [], set()
    for name in sorted(name for name, window in by_department if window == _DAY):
        day, week = by_department[name, _DAY], by_department[name, _WEEK]
        if not week["sufficient"]:
            continue  # the sample plants odd values, too
        if day["high"] < week["low"]:
            dropped.add(name)
        note = Text("◄ dropped: the intervals do not overlap" if name in dropped else "", style="red")
        body.append((name, *_pane_counts(day), *_pane_counts(week), note))
    head = ("department", _DAY, "95% interval", "n", _WEEK, "95% interval", "n", "")
    show.rows(head, body, right=head[1:-1])
    if DROPPED_DEPARTMENT not in dropped:
        raise DemoFailed(f"the drop that is planted in {DROPPED_DEPARTMENT} does not show")


def _pane_counts(window: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{window['score']:.0f}", f"{window['low']:.0f} to {window['high']:.0f}", str(window["n"])


def dead_letters(records: Iterable[Record]) -> None:
    """How many for each reason, with the message of one of them."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in records:
        headers = dict(record.headers)
        reason = headers["npsflow_dlq_reason"].decode()
        counts[reason] += 1
        examples.setdefault(reason, headers["npsflow_dlq_message"].decode())
    body = [(reason, str(n), examples[reason]) for reason, n in counts.most_common()]
    show.rows(("reason", "records", "for example"), [*body, ("sum", str(counts.total()), "")], right=("records",))
