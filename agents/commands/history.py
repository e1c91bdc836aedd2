"""`npsflow history`: how scores went, day by day."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

from npsflow.agents.commands import options
from npsflow.agents.commands.windows import METRICS, OVERALL, Wanted, interval, is_chosen, score, wanted_segments
from npsflow.agents.kafka import clients, reading
from npsflow.agents.runtime.terminal import clean, show_table
from npsflow.schemas import codec, topics
from npsflow.schemas.history import Counts
from npsflow.schemas.times import DAY, from_rfc3339
from npsflow.schemas.window import Window
from npsflow.streams.config.settings import Settings, load
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.scoring.segments import normal
from npsflow.streams.windows.scored import scored

_BARS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"

Line = dict[int, dict[int, int]]
"""Beginning of a day (ms) to score to count."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each day.")
@click.option(
    "--segment",
    "segments",
    multiple=True,
    help="`overall`, a dimension (`department`) or one value of it (`department=delivery`); two of them name a pair.",
)
@click.option("--metric", type=options.Words(METRICS))
@click.option("--days", type=click.IntRange(min=1), default=28, show_default=True, help="So many until the newest.")
def history(as_json: bool, segments: tuple[str, ...], metric: str | None, days: int) -> None:
    """Show how the score of each segment went: its days (UTC), and n, score and 95% interval of all of them together.

    The line goes from the least to the greatest score of a day; a dot is a day without answers. Without a terminal each
    day is a row.
    """
    settings = load()
    found = clients.run(_days(read_installation(), metric, wanted_segments(segments)))
    if not found:
        click.echo("no such history: nothing was answered there, or not yet", err=True)
        return
    last = max(from_rfc3339(counts.start) for counts in found)
    lines = by_segment(found, last - (days - 1) * DAY)
    if as_json:
        for window in of_days(lines, settings):
            click.echo(codec.encode(window))
    elif sys.stdout.isatty():
        _show_lines(lines, settings, [last - DAY * back for back in reversed(range(days))])
    else:
        _show_days(of_days(lines, settings))


async def _days(installation: Installation, metric: str | None, wanted: Wanted | None) -> list[Counts]:
    """The days that stand, of what is wanted: of thousands of segments all would take gigabytes."""
    records = reading.committed_records(installation, topics.HISTORY)
    chosen = (record async for record in records if is_wanted(record.key or b"", metric, wanted))
    return [decode(value) for _, value in (await reading.latest_by_key(chosen)).values()]


decode = codec.decoder(Counts)


def is_wanted(key: bytes, metric: str | None, wanted: Wanted | None) -> bool:
    """Whether a record of this key is a day that is asked for."""
    if b',"1d",' not in key:
        return False
    of, _, segment, resolution, _ = codec.loads(key)
    return resolution == "1d" and metric in (None, of) and is_chosen(segment, wanted)


Key = tuple[int, str, int, tuple[tuple[str, str], ...]]
"""Of a line, in the order in which they are shown: number of the metric, scale, size of the segment, segment."""


def by_segment(found: Iterable[Counts], since: int) -> Mapping[Key, Line]:
    """The days of each segment from `since` (ms) on, one line however it was spelled; shown is its newest spelling."""
    lines: dict[Key, Line] = {}
    spelled: dict[Key, Key] = {}
    for counts in sorted(found, key=lambda one: one.start):
        segment = tuple(counts.segment.items())
        same = tuple((dimension, normal(value)) for dimension, value in segment)
        shown = METRICS.index(counts.metric), counts.scale, len(segment), segment
        key, start = (*shown[:3], same), from_rfc3339(counts.start)
        if start >= since:
            lines.setdefault(key, {})[start] = {int(answer): n for answer, n in counts.histogram.items()}
            spelled[key] = shown
    return {spelled[key]: lines[key] for key in sorted(lines)}


def of_days(lines: Mapping[Key, Line], settings: Settings) -> list[Window]:
    """Each day as a window, oldest first; none of a scale that no setting knows any more."""
    return [
        window
        for key, line in lines.items()
        for start in sorted(line)
        if (window := _window(key, start, start + DAY, line[start], settings)) is not None
    ]


def _window(key: Key, start: int, end: int, histogram: Mapping[int, int], settings: Settings) -> Window | None:
    number, scale_name, _, segment = key
    scale = settings.all_scales().named(METRICS[number], scale_name)
    if scale is None:
        return None
    name = f"{(end - start) // DAY}d"
    return scored(scale, dict(segment), name, start, end, histogram, settings.windows.sufficient)


def total(line: Line) -> dict[int, int]:
    """The counts of all days."""
    found: dict[int, int] = {}
    for histogram in line.values():
        for answer, n in histogram.items():
            found[answer] = found.get(answer, 0) + n
    return found


def sparkline(scores: Sequence[float | None]) -> str:
    """A bar for each score, from the least to the greatest; where they are equal the lower half."""
    known = [one for one in scores if one is not None]
    low, width = min(known), (max(known) - min(known)) or 2.0
    bars = [_NOTHING if one is None else _BARS[round((one - low) / width * (len(_BARS) - 1))] for one in scores]
    return "".join(bars)


def _show_lines(lines: Mapping[Key, Line], settings: Settings, days: Sequence[int]) -> None:
    rows = []
    for key, line in lines.items():
        windows = {start: _window(key, start, start + DAY, line[start], settings) for start in line}
        whole = _window(key, days[0], days[-1] + DAY, total(line), settings)
        if whole is not None:
            scores = [None if (day := windows.get(start)) is None else day.score for start in days]
            rows.append((whole.metric, _named(whole), sparkline(scores), str(whole.n), score(whole), interval(whole)))
    until = datetime.fromtimestamp(days[-1] / 1000, UTC)
    head = ("metric", "segment", f"{len(days)} days until {until:%Y-%m-%d}", "n", "score", "95% interval")
    show_table(head, rows, right=("n", "score", "95% interval"), above=("metric",))


def _show_days(windows: Iterable[Window]) -> None:
    rows = [(w.metric, _named(w), w.start[:10], str(w.n), score(w), interval(w)) for w in windows]
    head = ("metric", "segment", "day", "n", "score", "95% interval")
    show_table(head, rows, right=("n", "score", "95% interval"))


def _named(w: Window) -> str:
    return " ".join(clean(f"{d}={v}") for d, v in w.segment.items()) or OVERALL
