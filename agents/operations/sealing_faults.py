"""What `npsflow check` finds wrong with sealing: personal texts in the clear, and keys that end before their texts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from npsflow.agents.sealing.fields import clear_fields
from npsflow.agents.sealing.table import alone
from npsflow.schemas import codec, topics
from npsflow.schemas.times import DAY
from npsflow.streams.stage import Record

_SEALED = (topics.RESPONSES, topics.DEAD_LETTERS, topics.SERVICE_RECOVERY, topics.FOLLOW_UP, topics.ACTIONS)


def clear_responses(responses: Iterable[Record], attributes: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do, of the newest records of `survey-responses`; by source, never by content."""
    counts, names = Counter[str](), defaultdict[str, set[str]](set)
    for record in responses:
        source, found = _clear(record, attributes)
        if found:
            counts[source] += 1
            names[source].update(found)
    for source, count in sorted(counts.items()):
        fields = ", ".join(sorted(names[source]))
        text = f"sealing: {count} of the newest responses of {source} are in the clear: {fields}"
        yield text, "if they are from before sealing they end by retention; else see `npsflow seal --from`"


def _clear(record: Record, attributes: Collection[str]) -> tuple[str, list[str]]:
    """Source of a response, and its personal fields that are no tokens; one that is no JSON is personal as a whole."""
    try:
        fields = codec.loads(record.value or b"{}")
    except codec.NotJson:
        return "unknown", [] if alone(record.value) else ["all of it"]
    if not isinstance(fields, dict):
        return "unknown", ["all of it"]
    source = fields.get("source")
    return source if isinstance(source, str) else "unknown", clear_fields(fields, attributes)


def short_keys(configs: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """The same of retention; `configs` of topics by their names without prefix."""
    kept = _retention(configs.get(topics.CUSTOMER_KEYS))
    longest = max((_retention(configs[name]) for name in _SEALED if name in configs), default=0.0)
    if topics.CUSTOMER_KEYS in configs and kept < longest + 30 * DAY:
        text = f"sealing: {topics.CUSTOMER_KEYS} is kept for {kept / DAY:g} days, other topics for {longest / DAY:g}"
        yield text, "set its retention.ms to 30 days more than theirs with kafka-configs, or their texts end early"


def _retention(config: Mapping[str, str] | None) -> float:
    """In ms; for ever if that is not limited."""
    kept = int((config or {}).get("retention.ms", "0"))
    return float("inf") if kept < 0 else float(kept)
