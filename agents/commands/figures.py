"""What `npsflow cases --report` prints: how well cases were handled, whole and by whom, where and for whom."""

from collections.abc import Iterator

from npsflow.agents.commands.text import one_line, span, table
from npsflow.schemas import codec
from npsflow.streams.recovery.report import Figures, Report, Share

_HEAD = ("", "", "cases", "open", "overdue", "in time", "won back")


def as_json(report: Report) -> bytes:
    """One object; shares as numbers between 0 and 1 beside what they are made of."""
    fields = {"overall": _fields(report.overall), "contacted_in_time_target": report.target}
    fields |= {name: {value: _fields(of) for value, of in found.items()} for name, found in report.by.items()}
    fields["median_seconds_in_status"] = {status: ms // 1000 for status, ms in report.median_ms.items()}
    return codec.dumps(fields)


def _fields(figures: Figures) -> dict[str, object]:
    counts: dict[str, object] = {"cases": figures.cases, "open": figures.open, "overdue": figures.overdue}
    for name, share in (("contacted_in_time", figures.contacted_in_time), ("won_back", figures.won_back)):
        counts[name] = {"part": share.part, "whole": share.whole, "share": share.value}
    return counts


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
