"""A survey response, as upstream platforms produce it to `survey-responses`.

The types below say what a good record looks like; a record that does not fit is read again leniently
(`streams/classify/parsing.py`) before anything is refused.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

MAX_COMMENT = 16_384  # bytes of UTF-8
MAX_TEXT = 128  # characters of a field that can be a dimension
MAX_IDENTIFIER = 256  # characters

Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER)]
Source = Annotated[
    str, Meta(min_length=1, max_length=MAX_IDENTIFIER, extra_json_schema={"pattern": "^[^/]+$"})
]  # checked in streams/classify/parsing.py: a pattern here would cost a tenth of the decoding
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Comment = Annotated[str, Meta(max_length=MAX_COMMENT)]
Time = Annotated[datetime, Meta(tz=True)]
Metric = Literal["nps", "csat", "csat_overall", "ces", "enps"]
Scalar = str | int | float | bool


class Scale(Struct, frozen=True, gc=False):
    """The range of answers the customer could give, both ends included."""

    min: int
    max: int


class Answer(Struct, frozen=True, gc=False, omit_defaults=True):
    """The answer to one driver question: a score or a text."""

    question_id: Identifier | None = None
    topic: Text | None = None
    score: int | float | None = None
    text: Comment | None = None


class Reference(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the survey was about: a ticket, an order, a call."""

    type: Text | None = None
    id: Identifier | None = None
    url: Comment | None = None


class Customer(Struct, frozen=True, gc=False, omit_defaults=True):
    """Who answered. `id` is the company's own number, never a platform's."""

    id: Identifier | None = None
    account_id: Identifier | None = None
    tier: Text | None = None
    value: int | float | None = None
    renews_at: Text | None = None
    contact_allowed: bool | None = None
    primary_contact: Identifier | None = None
    name: Identifier | None = None
    email: Identifier | None = None
    phone: Identifier | None = None


class Response(Struct, frozen=True, gc=False, omit_defaults=True):
    """One answer to one score question. Times carry their offset; `score` is on the metric's scale.

    What events carry comes first, in the order of `Context`, then the customer, then the rest: so the encoded response
    is recognised by its digest, and the context of its event is cut out of it.
    """

    response_id: Identifier
    source: Source
    survey_id: Identifier
    metric: Metric
    score: int
    submitted_at: Time
    survey_name: Text | None = None
    survey_kind: Literal["relationship", "transactional"] | None = None
    comment: Comment | None = None
    language: Text | None = None
    answers: list[Answer] | None = None
    channel: Text | None = None
    journey_stage: Text | None = None
    touchpoint: Text | None = None
    department: Text | None = None
    team: Text | None = None
    agent_id: Text | None = None
    product: Text | None = None
    attributes: Annotated[dict[Text, Scalar], Meta(max_length=20)] | None = None
    reference: Reference | None = None
    response_url: Comment | None = None
    contact_requested: bool | None = None
    customer: Customer | None = None
    updated_at: Time | None = None
    deleted: bool | None = None
    question: Comment | None = None
    survey_version: Text | None = None
    scale: Scale | None = None
    invitation_id: Identifier | None = None
    test: bool | None = None
    internal: bool | None = None


class Deletion(Struct, frozen=True, gc=False, omit_defaults=True):
    """The platform says that a response is gone."""

    response_id: Identifier
    source: Source
    updated_at: Time | None = None
    deleted: Literal[True] = True
