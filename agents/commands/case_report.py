"""What `npsflow cases --report` prints: how well cases were handled, whole and by whom, where and for whom."""

from collections.abc import Iterator

from npsflow.agents.runtime.terminal import one_line, span, table
from npsflow.streams.recovery.report import Figures, Report, Share

_HEAD = ("", "", "cases", "open", "overdue", "in time", "won back")


def as_text(report: Report) -> Iterator[str]:
    """Line by line."""
    whole = report.overall
    yield f"{whole.cases} cases, {whole.open} open, {whole.overdue} overdue"
    in_time = whole.contacted_in_time
    verdict = "" if in_time.value is None else ", reached" if in_time.value >= report.target else ", missed"
    yield f"contacted in time  {_of(in_time)} (target {report.target:.0%}{verdict})"
    yield f"won back           {_of(whole.won_back)} of a single customer: a later answer was a better one"
    for status, ms in report.median_ms.items():
        yield f"{'median time ' + status:<25}  {span(ms)}"
    rows = [
        (name, one_line(value, 40), str(of.cases), str(of.open), str(of.overdue), *map(_percent, _shares(of)))
        for name, found in report.by.items()
        for value, of in found.items()
    ]
    if rows:
        yield ""
        yield table(_HEAD, rows, right=_HEAD[2:])


def _shares(figures: Figures) -> tuple[Share, Share]:
    return figures.contacted_in_time, figures.won_back


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.0%}"


def _of(share: Share) -> str:
    return f"{_percent(share)}, {share.part} of {share.whole}"
