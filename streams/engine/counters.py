"""Counters of a stage as they stand in its changelog: names and label values joined by colons."""

from collections.abc import Iterable, Mapping

from npsflow.streams.stage import CounterKey, CounterSpec


def encode_counters(counters: Mapping[CounterKey, int]) -> dict[str, int]:
    """Counters by the names that the changelog knows them under."""
    return {":".join(key if key[0] else key[1:]): count for key, count in counters.items()}


def decode_counters(specs: Iterable[CounterSpec], stored: Mapping[str, int]) -> dict[CounterKey, int]:
    """The reverse of `encode_counters`. A name that fits no spec is kept as it is: another version knows it."""
    labels = {spec.stored: len(spec.labels) for spec in specs if spec.stored}
    return {_key(labels, name): count for name, count in stored.items()}


def _key(labels: Mapping[str, int], name: str) -> CounterKey:
    """`labels`: how many each spec has. The last label may hold colons."""
    kind, *rest = name.split(":", 1)
    values = rest[0].split(":", labels.get(kind, 1) - 1) if rest else []
    return (kind, *values) if labels.get(kind) == len(values) else ("", name)
