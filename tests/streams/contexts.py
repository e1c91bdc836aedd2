"""Contexts of events and remembered responses, as tests need them."""

from datetime import UTC, datetime
from typing import Any

from npsflow.schemas.events import Context
from npsflow.schemas.times import to_ms
from npsflow.streams.classify.stored import Remembered
from npsflow.streams.scoring.segments import pack_segments

AT = datetime(2026, 3, 1, 15, tzinfo=UTC)


def context(**fields: Any) -> Context:
    required: dict[str, Any] = {"response_id": "1", "source": "s", "survey_id": "q", "metric": "nps", "score": 2}
    return Context(**{**required, "category": "detractor", "submitted_at": AT, **fields})


def answer(**fields: Any) -> Remembered:
    """A detractor's answer of AT with one segment."""
    at = to_ms(AT)
    plain: dict[str, Any] = {"flags": 0, "rank": 0, "score": 2, "submitted": at, "version": (at, at, 0), "content": 1}
    plain |= {"context": 2, "segments": pack_segments([0]), "key": b"", "since": at, "raised": at}
    return Remembered(**{**plain, **fields})
