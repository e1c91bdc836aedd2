"""What can be wrong with a record: each mutation takes a good response and gives the bytes to produce instead."""

from collections.abc import Callable
from typing import Any

from npsflow.agents.demo.lines import Fields, dump
from npsflow.agents.demo.vocabulary import WEAK_DEPARTMENT


def _without(name: str) -> Callable[[Fields], bytes]:
    return lambda fields: dump({key: value for key, value in fields.items() if key != name})


def _with(**changes: Any) -> Callable[[Fields], bytes]:
    return lambda fields: dump(fields | changes)


def _nested(fields: Fields) -> bytes:
    return dump(fields)[:-1] + b',"answers":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


def _twice(fields: Fields) -> bytes:
    """A score out of range, and once more, good: the last one stands."""
    return b'{"score":99,' + dump(fields)[1:]


LENIENT: tuple[Callable[[Fields], bytes], ...] = (
    _with(channel=7),
    _with(customer="C-1"),
    _with(comment="a" + "é" * 10_000),
    _with(department="X" * 200),
    _with(department=f"  {WEAK_DEPARTMENT.upper()} "),
    _with(updated_at="soon"),
    _with(deleted="no"),
    lambda fields: dump(fields | {"score": float(fields["score"])}),
    _with(test="true"),
    _with(product=None, comment=None, customer=None),
    _with(colour="blue"),
    _twice,
)
_BAD: dict[str, tuple[Callable[[Fields], bytes | None], ...]] = {
    "null_value": (lambda fields: None, lambda fields: b""),
    "not_utf8": (
        lambda fields: dump(fields | {"comment": "café"}).decode().encode("latin-1", "replace"),
        lambda fields: dump(fields)[:-1] + b"\xff}",
    ),
    "too_deep": (_nested, lambda fields: b"[" * 10_000 + b"]" * 10_000),
    "not_json": (
        lambda fields: dump(fields)[:-20],
        lambda fields: dump(fields)[1:],
        lambda fields: dump(fields).replace(b'"', b"'"),
        lambda fields: b"hello",
    ),
    "not_object": (
        lambda fields: b"[]",
        lambda fields: b"null",
        lambda fields: b"9",
        lambda fields: b'"nps"',
    ),
    "missing_field": (
        *map(_without, ("source", "response_id", "survey_id", "metric", "score", "submitted_at")),
        _with(source=None),
        _with(score=None),
    ),
    "invalid_identifier": (
        _with(source="type/form"),
        _with(source=""),
        _with(response_id="r" * 257),
        _with(response_id=12),
        _with(survey_id=""),
        _with(survey_id=["nps"]),
    ),
    "unknown_metric": (_with(metric="happiness"), _with(metric=5)),
    "unknown_scale": (_with(scale={"min": 0, "max": 100}),),
    "invalid_score": (_with(score=True), _with(score=8.5), _with(score="8"), _with(score=-0.5), _with(score=[3])),
    "score_out_of_range": (_with(score=11), _with(score=-1)),
    "invalid_time": (
        _with(submitted_at="2026-01-31T12:00:00"),
        _with(submitted_at="yesterday"),
        _with(submitted_at=1_760_000_000),
        _with(submitted_at="2026-02-30T12:00:00Z"),
    ),
}
BAD_BY_REASON = [[(reason, spoil) for spoil in spoils] for reason, spoils in _BAD.items()]
