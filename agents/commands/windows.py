"""`npsflow windows`: the current table of scores."""

from collections.abc import Iterable
from typing import get_args

import click

from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import minute, one_line, table
from npsflow.schemas import codec, topics
from npsflow.schemas.response import Metric
from npsflow.schemas.window import Window
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.scoring.segments import normal
from npsflow.streams.windows.panes import window_spec

METRICS: tuple[str, ...] = get_args(Metric)
OVERALL = "overall"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as published.")
@click.option(
    "--segment",
    "segments",
    multiple=True,
    help="`overall`, a dimension (`department`) or one value of it (`department=delivery`); two of them name a pair.",
)
@click.option("--window", help="Length: 1h, 24h, 7d, 30d or what the settings add.")
@click.option("--metric", type=click.Choice(METRICS))
def windows(as_json: bool, segments: tuple[str, ...], window: str | None, metric: str | None) -> None:
    """Show n, score and 95% interval by metric, segment and window. Times are in UTC."""
    found = clients.run(_current(read_installation()))
    asked = [
        w for w in found
        if metric in (None, w.metric) and window in (None, w.window) and _is_asked(w.segment, segments)
    ]  # fmt: skip
    if not asked:
        there = ", ".join(sorted({" and ".join(w.segment) or OVERALL for w in found}))
        lengths = ", ".join(sorted({w.window for w in found}, key=lambda name: window_spec(name).length))
        click.echo(f"no such windows; there are {lengths} of: {there}" if found else "no windows yet", err=True)
    elif as_json:
        for w in sorted(asked, key=_order):
            click.echo(codec.encode(w))
    else:
        click.echo(_table(sorted(asked, key=_order)))


async def _current(installation: Installation) -> Iterable[Window]:
    records = reading.committed_records(installation, topics.WINDOWS)
    latest = await reading.latest_by_key(records)
    return [codec.convert(codec.loads(value), Window) for _, value in latest.values()]


def _is_asked(segment: dict[str, str], asked: tuple[str, ...]) -> bool:
    if not asked:
        return True
    wanted = {} if asked == (OVERALL,) else dict(_dimension(text) for text in asked)
    return segment.keys() == wanted.keys() and all(v in (None, segment[d]) for d, v in wanted.items())


def _dimension(text: str) -> tuple[str, str | None]:
    """`department=Delivery` to the dimension and its value as segments have it, None for any value."""
    dimension, given, value = text.partition("=")
    return dimension, normal(value) if given else None


def _order(w: Window) -> tuple[int, str, int, tuple[tuple[str, str], ...], int]:
    return METRICS.index(w.metric), w.scale, len(w.segment), tuple(w.segment.items()), window_spec(w.window).length


def _table(found: list[Window]) -> str:
    head = ("metric", "segment", "window", "until", "n", "score", "95% interval", "")
    rows = [
        (
            w.metric,
            " ".join(one_line(f"{d}={v}", 40) for d, v in w.segment.items()) or OVERALL,
            w.window,
            minute(w.end),
            str(w.n),
            f"{w.score:.1f}",
            f"{w.low:.1f} to {w.high:.1f}",
            "" if w.sufficient else "too few",
        )
        for w in found
    ]
    return table(head, rows, right=("n", "score", "95% interval"))
