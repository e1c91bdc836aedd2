"""`npsflow windows`: the current table of scores."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import tzinfo
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from typing import get_args

import click

from npsflow.agents.commands import options
from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import clean, minute, one_line, show_table, zone_name
from npsflow.schemas import codec, topics
from npsflow.schemas.response import Metric
from npsflow.schemas.window import Window
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.scoring.segments import normal
from npsflow.streams.windows.panes import window_spec

METRICS: tuple[str, ...] = get_args(Metric)
OVERALL = "overall"
_PERCENT = ("csat", "csat_overall")

Wanted = dict[str, str | None]
"""Dimensions and the normalised value of each, None for any; {} is overall."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as published.")
@click.option(
    "--segment",
    "segments",
    multiple=True,
    help="`overall`, a dimension (`department`) or one value of it (`department=delivery`); two of them name a pair.",
)
@click.option("--window", help="Length: 1h, 24h, 7d, 30d or what the settings add.")
@click.option("--metric", type=options.Words(METRICS))
@click.option(
    "--sort",
    type=click.Choice(["segment", "score", "n"]),
    default="segment",
    show_default=True,
    help="`score`: for each metric and window the lowest first, those of too few answers last; `n`: the most first.",
)
@click.option("--top", type=click.IntRange(min=1), help="Only the first so many of each metric and window.")
@options.zone
def windows(
    as_json: bool,
    segments: tuple[str, ...],
    window: str | None,
    metric: str | None,
    sort: str,
    top: int | None,
    zone: tzinfo,
) -> None:
    """Show n, score and 95% interval by metric, segment and window.

    NPS goes from -100 to +100, CSAT is in percent, CES is a mean on its scale, 1 to 7 as a rule. p/n/d counts
    promoters, passives and detractors.
    """
    published, wanted = clients.run(_published(read_installation())), wanted_segments(segments)
    current = [w for w, _ in published]
    chosen = [
        w for w in current
        if metric in (None, w.metric) and window in (None, w.window) and is_chosen(w.segment, wanted)
    ]  # fmt: skip
    shown = first_of_each(sorted(chosen, key=ORDERS[sort]), top)
    if not shown:
        expect_known(current, load(), wanted, window)
        click.echo(why_nothing(current, wanted), err=True)
    elif as_json:
        values = {_by_segment(w): value for w, value in published}
        for w in shown:
            click.echo(values[_by_segment(w)])
    else:
        _show(shown, zone)


async def _published(installation: Installation) -> list[tuple[Window, bytes]]:
    """The windows that stand, each with its value as it was published."""
    records = reading.committed_records(installation, topics.WINDOWS)
    latest = await reading.latest_by_key(records)
    return [(codec.convert(codec.loads(value), Window), value) for _, value in latest.values()]


def wanted_segments(segments: tuple[str, ...]) -> Wanted | None:
    """`department=Delivery` to the dimension and its value; None for every segment."""
    if not segments:
        return None
    if segments == (OVERALL,):
        return {}
    parts = [text.partition("=") for text in segments]
    return {dimension.strip(): normal(value) if separator else None for dimension, separator, value in parts}


def is_chosen(segment: dict[str, str], wanted: Wanted | None) -> bool:
    """Whether a window of this segment is asked for."""
    if wanted is None:
        return True
    return segment.keys() == wanted.keys() and all(v in (None, normal(segment[d])) for d, v in wanted.items())


def _by_segment(w: Window) -> tuple[object, ...]:
    segment = tuple((dimension, normal(value)) for dimension, value in w.segment.items())
    return METRICS.index(w.metric), w.scale, len(segment), segment, window_spec(w.window).length


def _by_score(w: Window) -> tuple[object, ...]:
    return *_group(w), not w.sufficient, w.score, _by_segment(w)


def _by_n(w: Window) -> tuple[object, ...]:
    return *_group(w), -w.n, _by_segment(w)


ORDERS = {"segment": _by_segment, "score": _by_score, "n": _by_n}
"""Of --sort."""


def _group(w: Window) -> tuple[int, str, int]:
    """Scores can be compared within it."""
    return METRICS.index(w.metric), w.scale, window_spec(w.window).length


def first_of_each(windows: Sequence[Window], top: int | None) -> list[Window]:
    """The first `top` of each group."""
    seen, first = Counter[tuple[int, str, int]](), list[Window]()
    for w in windows:
        seen[_group(w)] += 1
        if top is None or seen[_group(w)] <= top:
            first.append(w)
    return first


def expect_known(current: Collection[Window], settings: Settings, wanted: Wanted | None, window: str | None) -> None:
    """Raises UsageError for a length, dimension or pair that is not counted, ClickException for an unknown value."""
    lengths = {*settings.windows.lengths, *(w.window for w in current)}
    if window is not None and window not in lengths:
        raise _unknown("window", window, sorted(lengths, key=lambda name: window_spec(name).length))
    dimensions = {*settings.segments.dimensions, *(dimension for w in current for dimension in w.segment)}
    for dimension in wanted or ():
        if dimension not in dimensions:
            raise _unknown("segment", dimension, [OVERALL, *sorted(dimensions)])
    counted = {frozenset(pair) for pair in settings.segments.pairs} | {frozenset(w.segment) for w in current}
    if wanted is not None and len(wanted) > 1 and frozenset(wanted) not in counted:
        raise click.UsageError(f"{' and '.join(wanted)} are not counted together: name them in segments.pairs")
    for dimension, value in (wanted or {}).items():
        values = {w.segment[dimension] for w in current if dimension in w.segment}
        if value is not None and values and value not in map(normal, values):
            raise click.ClickException(f"no answer has {dimension}={one_line(value)}{_hint(value, sorted(values))}")


def why_nothing(current: Collection[Window], wanted: Wanted | None) -> str:
    """Why there is none of what is known."""
    if not current:
        return "no windows yet"
    if wanted and not any(w.segment.keys() == wanted.keys() for w in current):
        return f"no windows yet by {' and '.join(wanted)}: no answer says one"
    return "no such windows: nothing was answered there"


def _unknown(what: str, name: str, known: list[str]) -> click.UsageError:
    return click.UsageError(f"there is no {what} {one_line(name)}{_hint(name, known)} (there are {', '.join(known)})")


def _hint(name: str, known: Collection[str]) -> str:
    by_normal = {normal(one): one for one in known}
    close = get_close_matches(normal(name), by_normal, n=1)
    return f"; did you mean {clean(by_normal[close[0]])}?" if close else ""


def _show(windows: list[Window], zone: tzinfo) -> None:
    head = ("metric", "segment", "window", f"until ({zone_name(windows[0].end, zone)})", "n", "score", "95% interval")
    rows = [
        (
            w.metric,
            " ".join(clean(f"{d}={v}") for d, v in w.segment.items()) or OVERALL,
            w.window,
            minute(w.end, zone),
            str(w.n),
            score(w),
            interval(w),
            _counts(w),
            "" if w.sufficient else "too few",
        )
        for w in windows
    ]
    right = ("n", "score", "95% interval", "p/n/d")
    show_table((*head, "p/n/d", ""), rows, right=right, above=("metric", "segment"), spare=("p/n/d",))


def score(w: Window) -> str:
    """With its unit: `+14.3` of NPS, `85.2%`, `5.2/7`."""
    if w.metric in _PERCENT:
        return f"{tenths(w.score)}%"
    return f"{tenths(w.score)}/{w.scale.rpartition('-')[2]}" if w.metric == "ces" else _signed(w.score)


def interval(w: Window) -> str:
    """95%, in the unit of the score."""
    if w.metric in (*_PERCENT, "ces"):
        return f"{tenths(w.low)} to {tenths(w.high)}{'%' if w.metric in _PERCENT else ''}"
    return f"{_signed(w.low)} to {_signed(w.high)}"


def _signed(value: float) -> str:
    return f"{Decimal(tenths(value)):+}"


def tenths(score: float) -> str:
    """With one decimal, as people round: half of a tenth away from zero, and no zero below it."""
    rounded = Decimal(repr(score)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return str(rounded or abs(rounded))


def _counts(w: Window) -> str:
    """Promoters, passives and detractors, of metrics that have them."""
    counts = (w.promoters, w.passives, w.detractors)
    return "" if None in counts else "/".join(map(str, counts))
