"""Who was asked: what a platform or an export says of a survey that it offered, answered or not."""

from msgspec import Struct

from npsflow.schemas.response import Customer, Identifier, Source, Text, Time


class Invitation(Struct, frozen=True, gc=False, omit_defaults=True):
    """One survey offered to one customer; a response names it in its `invitation_id`, where the platform tells."""

    invitation_id: Identifier
    source: Source
    survey_id: Identifier
    sent_at: Time
    customer: Customer | None = None
    channel: Text | None = None
    department: Text | None = None
