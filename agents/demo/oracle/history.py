"""The hours and days that are published, of those that are over, from what stands when everything was read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import inf

from .model import DAY, HOUR, SCALES, Fields, HistoryKey, Version, category
from .windows import segments

LENGTHS = {"1h": HOUR, "1d": DAY}
_HOURS_KEPT = 14 * DAY


def history(
    versions: Iterable[Version], time: float, spelled: Mapping[tuple[str, str], str]
) -> dict[HistoryKey, Fields]:
    """Give every hour and day that is over at the highest stream time; `spelled` says how a segment is shown."""
    if time == -inf:
        return {}
    histograms: dict[HistoryKey, Counter[int]] = defaultdict(Counter)
    oldest_hour = (int(time) // HOUR + 1) * HOUR - _HOURS_KEPT
    for version in versions:
        if not version.counts:
            continue
        metric, score = version.content["metric"], version.content["score"]
        scale = "{}-{}".format(*SCALES[metric])
        for resolution, length in LENGTHS.items():
            start = version.submitted // length * length
            if start + length > time or (resolution == "1h" and start < oldest_hour):
                continue
            for segment in segments(version.content):
                histograms[metric, scale, segment, resolution, _rfc3339(start)][score] += 1
    return {
        key: _counts(key, histogram) | {"segment": {pair[0]: spelled[pair] for pair in key[2]}}
        for key, histogram in histograms.items()
        if key[0] != "enps" or histogram.total() >= 5
    }


def _counts(key: HistoryKey, histogram: Counter[int]) -> Fields:
    """Give the published value of one hour or day."""
    metric, scale, _, resolution, start = key
    end = _rfc3339(_ms(start) + LENGTHS[resolution])
    value: Fields = {"metric": metric, "scale": scale, "resolution": resolution, "start": start, "end": end}
    value |= {"n": histogram.total(), "histogram": {str(score): n for score, n in sorted(histogram.items())}}
    if metric in ("nps", "enps"):
        counts = [0, 0, 0]
        for score, count in histogram.items():
            counts[category(metric, score)] += count
        value |= {"promoters": counts[2], "passives": counts[1], "detractors": counts[0]}
    return value


def is_over(value: Mapping[str, str], time: float) -> bool:
    """Whether a published hour or day has ended."""
    return _ms(value["end"]) <= time


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _rfc3339(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
