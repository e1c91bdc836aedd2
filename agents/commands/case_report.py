"""What `npsflow cases --report` prints: how well cases were handled, whole and by whom, where and for whom."""

from collections.abc import Iterator

import click

from npsflow.agents.runtime.terminal import clean, show_table, span
from npsflow.streams.recovery.report import Figures, Report, Share

HEAD = ("", "", "cases", "open", "overdue", "in time", "won back")


def show(report: Report) -> None:
    """Print it."""
    click.echo("\n".join(summary(report)))
    if figures := rows(report):
        click.echo()
        show_table(HEAD, figures, right=HEAD[2:], above=HEAD[:1])


def summary(report: Report) -> Iterator[str]:
    """How well all cases were handled, line by line."""
    overall = report.overall
    yield f"{overall.cases} cases, {overall.open} open, {overall.overdue} overdue"
    in_time = overall.contacted_in_time
    verdict = "" if in_time.value is None else ", reached" if in_time.value >= report.target else ", missed"
    yield f"contacted in time  {_share(in_time)} (target {report.target:.0%}{verdict})"
    yield f"won back           {_share(overall.won_back)} of a single customer: better after the first contact"
    yield f"improved           {_share(overall.improved)}: better, and nobody had called"
    for status, ms in report.median_ms.items():
        yield f"{'median time ' + status:<25}  {span(ms)}"


def rows(report: Report) -> list[tuple[str, ...]]:
    """The same by owner, department and so on: cells below `HEAD`."""
    return [
        (name, clean(value), str(of.cases), str(of.open), str(of.overdue), *map(_percent, _shares(of)))
        for name, groups in report.by.items()
        for value, of in groups.items()
    ]


def _shares(figures: Figures) -> tuple[Share, Share]:
    return figures.contacted_in_time, figures.won_back


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:.0%}"


def _share(share: Share) -> str:
    return f"{_percent(share)}, {share.part} of {share.whole}"
