"""What is cut out of an encoded response is the JSON of its context, field by field."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.schemas import codec
from npsflow.schemas.events import Context
from npsflow.schemas.response import Customer, Response
from npsflow.streams.classify.context import category_field, cut_context

TRAPS = [
    ',"submitted_at":', ',"customer":{"id":', '"customer":{}', ',"name":', '"email":', ',"question":"', "}}", "{}", ",",
    "submitted_at", "customer", "name", "id", "\\", '"', "é\n",
]  # fmt: skip
_texts = st.sampled_from(TRAPS) | st.text(max_size=4)
_ids = _texts.filter(bool)
_flags = st.none() | st.booleans()
_times = st.datetimes(timezones=st.timezones())


def _of(**fields: Any) -> Any:
    return {name: st.none() | found for name, found in fields.items()}


_customers = st.builds(
    Customer,
    **_of(
        id=_ids, account_id=_ids, tier=_texts, value=st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    ),
    **_of(renews_at=_texts, contact_allowed=st.booleans(), primary_contact=_ids, name=_ids, email=_ids, phone=_ids),
)
_ITS_TEXTS = (
    "survey_name", "comment", "language", "channel", "journey_stage", "touchpoint", "department", "team", "agent_id",
    "product", "response_url", "question", "survey_version", "invitation_id",
)  # fmt: skip
_responses = st.builds(
    Response,
    _ids, _ids, _ids, st.just("nps"), st.integers(0, 10), _times,
    attributes=st.none() | st.dictionaries(_texts, _texts | st.integers() | st.booleans(), max_size=3),
    customer=st.none() | _customers, updated_at=st.none() | _times, contact_requested=_flags, deleted=_flags,
    test=_flags, internal=_flags, **_of(**dict.fromkeys(_ITS_TEXTS, _texts)),
)  # fmt: skip


def encoded_context(response: Response, category: str, *, private_fields: bool) -> bytes:
    """As its type says."""
    customer = response.customer or Customer()
    fields: dict[str, Any] = {}
    for name in Context.__struct_fields__:
        if name == "category":
            fields[name] = category
        elif name in Response.__struct_fields__:
            fields[name] = getattr(response, name)
        elif private_fields or name not in ("name", "email", "phone"):
            fields[name] = getattr(customer, name.removeprefix("customer_"))
    return codec.encode(Context(**fields))


@pytest.mark.parametrize("private_fields", [False, True])
@given(_responses)
def test_a_context_is_cut_out(private_fields: bool, response: Response) -> None:
    cut = cut_context(response, codec.encode(response), category_field("promoter"), private_fields)
    assert codec.loads(cut) == codec.loads(encoded_context(response, "promoter", private_fields=private_fields))


def test_a_context_is_as_version_0_1_has_encoded_it() -> None:
    """What is remembered tells by a digest of it whether an alert says something new."""
    at, customer = datetime(2026, 3, 1, tzinfo=UTC), Customer("c1", "a1", "plus", 5.5, name="n")
    response = Response("1", "s", "q", "nps", 2, at, "name", "relationship", "slow", channel="web", customer=customer)
    for private_fields in (False, True):
        cut = cut_context(response, codec.encode(response), category_field("detractor"), private_fields)
        assert cut == encoded_context(response, "detractor", private_fields=private_fields)
