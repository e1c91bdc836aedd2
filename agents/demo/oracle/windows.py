"""The windows that are published, from what stands when everything was read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import inf

from .model import DAY, HOUR, MINUTE, SCALES, Fields, Segment, Version, WindowKey, category
from .statistics import ces, csat, nps

WINDOWS = {"1h": (HOUR, 5 * MINUTE), "24h": (DAY, HOUR), "7d": (7 * DAY, HOUR), "30d": (30 * DAY, DAY)}
DIMENSIONS = ("survey_id", "survey_kind", "channel", "journey_stage", "department", "product", "tier")


def windows(
    versions: Iterable[Version], time: float, spelled: Mapping[tuple[str, str], str]
) -> dict[WindowKey, Fields]:
    """Give every window that is published, at the highest stream time; `spelled` says how a segment is shown."""
    spans = {}
    if time > -inf:
        for name, (length, pane) in WINDOWS.items():
            end = int(time) // pane * pane + pane
            spans[name] = (end - length, end)
    histograms: dict[WindowKey, Counter[int]] = defaultdict(Counter)
    for version in versions:
        if not version.counts:
            continue
        metric, score = version.content["metric"], version.content["score"]
        scale = "{}-{}".format(*SCALES[metric])
        moment = version.submitted // (5 * MINUTE) * (5 * MINUTE)
        inside = [name for name, (start, end) in spans.items() if start <= moment < end]
        for segment in segments(version.content) if inside else ():
            for name in inside:
                histograms[metric, scale, segment, name][score] += 1
    return {
        key: _window(key, histogram, *spans[key[3]]) | {"segment": {pair[0]: spelled[pair] for pair in key[2]}}
        for key, histogram in histograms.items()
        if key[0] != "enps" or histogram.total() >= 5
    }


def segments(content: Fields) -> list[Segment]:
    """The overall segment, and one for each dimension that the response has."""
    return [(), *((value,) for value, _ in spellings(content))]


def spellings(content: Fields) -> Iterator[tuple[tuple[str, str], str]]:
    """Give each dimension that the response has and its value as it is counted, and the value as it is spelled."""
    values = content | {"tier": content.get("customer", {}).get("tier")}
    for name in DIMENSIONS:
        if text := (values.get(name) or "").strip():
            yield (name, text.casefold()[:128]), text[:128]


def _window(key: WindowKey, histogram: Counter[int], start: int, end: int) -> Fields:
    """Give the published value of one window."""
    metric, scale, _, name = key
    counts = [0, 0, 0]
    for score, count in histogram.items():
        counts[category(metric, score)] += count
    point, low, high = _statistics(metric, counts, histogram)
    pane = WINDOWS[name][1]
    value: Fields = {"type": "npsflow.window.updated.v1", "time": _rfc3339(end - pane).replace("Z", ".000Z")}
    value |= {"metric": metric, "scale": scale, "window": name}
    value |= {"start": _rfc3339(start), "end": _rfc3339(end), "n": histogram.total()}
    if metric in ("nps", "enps"):
        value |= {"promoters": counts[2], "passives": counts[1], "detractors": counts[0]}
    value["histogram"] = {str(score): histogram[score] for score in sorted(histogram)}
    value |= {"score": round(point, 4), "low": round(low, 4), "high": round(high, 4)}
    unit = {"nps": "points", "enps": "points", "ces": "mean"}.get(metric, "percent")
    return value | {"margin": round((high - low) / 2, 4), "unit": unit, "sufficient": histogram.total() >= 30}


def _statistics(metric: str, counts: Sequence[int], histogram: Counter[int]) -> tuple[float, float, float]:
    """Give score, low and high of a window that is not empty."""
    if metric in ("nps", "enps"):
        return nps(*counts)
    if metric == "ces":
        return ces(histogram)
    return csat(counts[2], sum(counts))


def _rfc3339(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
