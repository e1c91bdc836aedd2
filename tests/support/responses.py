"""Responses as platforms send them."""

from typing import Any


def response(name: str = "1", score: Any = 2, **more: Any) -> dict[str, Any]:
    """An NPS response with the fields that are required, of an unhappy customer, and those of `more`."""
    fields = {"source": "s", "response_id": name, "survey_id": "q", "metric": "nps", "score": score}
    return {**fields, "submitted_at": "2026-03-01T15:00:00Z", **more}


def deletion(name: str = "1", **more: Any) -> dict[str, Any]:
    """Its deletion, with no more than it needs and the fields of `more`."""
    return {"source": "s", "response_id": name, "deleted": True, **more}
