"""What recognises the content of a response, so that one that is sent again says nothing new."""

from operator import attrgetter
from typing import Any

from msgspec import defstruct
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec
from npsflow.schemas.response import Response

digest = xxh3_64_intdigest
"""Of an encoded response or deletion."""

# As version 0.1 had them. Once what it remembered is beyond every horizon, this can go.
_ORDER = (
    "response_id", "source", "survey_id", "metric", "score", "submitted_at", "updated_at", "deleted", "comment",
    "language", "answers", "question", "channel", "journey_stage", "touchpoint", "department", "team", "agent_id",
    "product", "survey_name", "survey_version", "survey_kind", "scale", "attributes", "reference", "response_url",
    "invitation_id", "customer", "contact_requested", "test", "internal",
)  # fmt: skip
_Ordered: Any = defstruct("_Ordered", [(name, Any, None) for name in _ORDER], omit_defaults=True)
_in_order = attrgetter(*_ORDER)


def older_digest(response: Response) -> int:
    """The digest by which version 0.1, whose fields had another order, remembered the same content."""
    return digest(codec.encode(_Ordered(*_in_order(response))))
