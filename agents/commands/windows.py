"""`npsflow windows`: the current table of scores."""

from collections.abc import Iterable
from typing import get_args

import click

from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import clean, minute, show_table
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
    current = clients.run(_current(read_installation()))
    chosen = [
        w for w in current
        if metric in (None, w.metric) and window in (None, w.window) and _is_chosen(w.segment, segments)
    ]  # fmt: skip
    if not chosen:
        known = ", ".join(sorted({" and ".join(w.segment) or OVERALL for w in current}))
        lengths = ", ".join(sorted({w.window for w in current}, key=lambda name: window_spec(name).length))
        click.echo(f"no such windows; there are {lengths} of: {known}" if current else "no windows yet", err=True)
    elif as_json:
        for w in sorted(chosen, key=_order):
            click.echo(codec.encode(w))
    else:
        _show(sorted(chosen, key=_order))


async def _current(installation: Installation) -> Iterable[Window]:
    records = reading.committed_records(installation, topics.WINDOWS)
    latest = await reading.latest_by_key(records)
    return [codec.convert(codec.loads(value), Window) for _, value in latest.values()]


def _is_chosen(segment: dict[str, str], chosen: tuple[str, ...]) -> bool:
    if not chosen:
        return True
    wanted = {} if chosen == (OVERALL,) else dict(_dimension(text) for text in chosen)
    return segment.keys() == wanted.keys() and all(v in (None, segment[d]) for d, v in wanted.items())


def _dimension(text: str) -> tuple[str, str | None]:
    """`department=Delivery` to the dimension and its normalised value, None for any value."""
    dimension, separator, value = text.partition("=")
    return dimension, normal(value) if separator else None


def _order(w: Window) -> tuple[int, str, int, tuple[tuple[str, str], ...], int]:
    return METRICS.index(w.metric), w.scale, len(w.segment), tuple(w.segment.items()), window_spec(w.window).length


def _show(windows: list[Window]) -> None:
    head = ("metric", "segment", "window", "until", "n", "score", "95% interval", "")
    rows = [
        (
            w.metric,
            " ".join(clean(f"{d}={v}") for d, v in w.segment.items()) or OVERALL,
            w.window,
            minute(w.end),
            str(w.n),
            f"{w.score:.1f}",
            f"{w.low:.1f} to {w.high:.1f}",
            "" if w.sufficient else "too few",
        )
        for w in windows
    ]
    show_table(head, rows, right=("n", "score", "95% interval"), above=("metric", "segment"))
