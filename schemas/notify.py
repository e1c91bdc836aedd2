"""What stands on `notify-log`: how far each notifier has come with each event. It is delivery log and retry queue.

A record names its event by where that stands on `service-recovery`; nothing of its content is in it, so there is
nothing to be forgotten here. The key is `NAME/event id`, the partition that of the event.
"""

from typing import Literal

from msgspec import Struct

from npsflow.schemas import codec

State = Literal["waiting", "delivered", "merged", "given_up"]
"""`merged`: delivered together with an earlier event of its case, which `reference` names."""

DIGEST = "digest"
"""Of the type of a digest, and what the ids of digests begin with."""


class Delivery(Struct, frozen=True, omit_defaults=True):
    """One event and one notifier; all times in ms.

    `offset`: of the event in its partition, -1 for a digest, which is made of what happened from `since` until
    `event_at`, and `part` tells whose. `reference`: what the other side calls the message. `error`: why it was not
    delivered, without anything of its content. `owner`: since when whoever wrote this has the partition, 0 for a
    command: what one has written who has lost it meanwhile does not count.
    """

    notifier: str
    event_id: str
    state: State
    case_id: str
    offset: int
    event_at: int
    at: int
    attempts: int = 0
    not_before: int = 0
    reference: str = ""
    error: str = ""
    since: int = 0
    part: str = ""
    owner: int = 0

    def key(self) -> bytes:
        """`NAME/event id`."""
        return f"{self.notifier}/{self.event_id}".encode()


decode_delivery = codec.decoder(Delivery)
"""From JSON. Raises codec.Undecodable."""
