"""Contexts of events, as the tests of what events say need them."""

from datetime import UTC, datetime
from typing import Any

from npsflow.schemas.events import Context

AT = datetime(2026, 3, 1, 15, tzinfo=UTC)


def context(**fields: Any) -> Context:
    required: dict[str, Any] = {"response_id": "1", "source": "s", "survey_id": "q", "metric": "nps", "score": 2}
    return Context(**{**required, "category": "detractor", "submitted_at": AT, **fields})
