"""Actions on cases: checked, and sent to the partition of their case."""

from typing import Any

from msgspec import ValidationError

from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.response import Time
from npsflow.streams.engine.installation import Installation

_HEADERS = [("content-type", b"application/json")]


class InvalidAction(ValueError):
    """The fields are no action. The text names a field, and never quotes its value."""


def parse_action(fields: dict[str, Any]) -> TeamAction:
    """Make an action of the fields of `TeamAction`; those that are None are left out. Raises InvalidAction."""
    if unknown := sorted(fields.keys() - set(TeamAction.__struct_fields__)):
        name = unknown[0]
        raise InvalidAction(f"an action has no field `{name}`" if name.isidentifier() else "a field is unknown")
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        action: TeamAction = codec.convert(present, TeamAction)
    except ValidationError as error:
        raise InvalidAction(str(error)) from None
    try:
        codec.encode(action)
    except UnicodeEncodeError:
        raise InvalidAction("what is said is not UTF-8") from None
    if action.at is not None:
        try:
            codec.convert(action.at, Time)
        except ValidationError:
            raise InvalidAction("`at` is no time with an offset, as 2026-03-02T09:00:00+01:00 is") from None
    return action


async def send_action(
    producer: RenewedProducer, installation: Installation, key: str | None, partition: int, action: TeamAction
) -> None:
    """Return when Kafka has acknowledged it; `key` and `partition` are those of the case. Raises KafkaError."""
    await producer.send_and_wait(
        installation.topic(topics.ACTIONS),
        codec.encode(action),
        None if key is None else key.encode(),
        partition,
        headers=_HEADERS,
    )
