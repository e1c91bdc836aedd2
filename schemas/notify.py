"""What stands on `notify-log`: how far each notifier has come with each event. It is delivery log and retry queue.

A `Delivery` names its event by where that stands on `service-recovery`; nothing of its content is in it, so there is
nothing to be forgotten here. The key is `NAME/event id`, the partition that of the event.
`Hurry` and `Backlog` are about many messages; their keys begin with `NAME/!`, as no id of an event does.
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


class Hurry(Struct, frozen=True, omit_defaults=True):
    """A command: what waits in this partition is sent now; of `event_id` only, if one is named. `at` in ms."""

    notifier: str
    at: int
    event_id: str = ""

    def key(self) -> bytes:
        """`NAME/!now`, and the event."""
        return f"{self.notifier}{_NOW}{self.event_id}".encode()


class Backlog(Struct, frozen=True, omit_defaults=True):
    """Events from before the very first start that are not sent: those in this partition from `begin` to before `end`.

    `count`: how many messages they are, of the last `hours`; 0 when all are sent. `at` in ms. `owner` as of a delivery.
    """

    notifier: str
    begin: int
    end: int
    count: int
    hours: float
    at: int
    owner: int = 0

    def key(self) -> bytes:
        """`NAME/!backlog`."""
        return f"{self.notifier}{_BACKLOG}".encode()


_NOW, _BACKLOG = "/!now", "/!backlog"

LogRecord = Delivery | Hurry | Backlog

decode_delivery = codec.decoder(Delivery)
"""From JSON. Raises codec.Undecodable."""
_decode_hurry, _decode_backlog = codec.decoder(Hurry), codec.decoder(Backlog)


def decode_record(key: bytes | None, value: bytes) -> LogRecord:
    """A record of the log, by its key. Raises codec.Undecodable."""
    _, mark, rest = (key or b"").decode(errors="replace").partition("/")
    if not mark or not rest.startswith("!"):
        return decode_delivery(value)
    return _decode_backlog(value) if f"/{rest}" == _BACKLOG else _decode_hurry(value)
