"""Actions on cases: made from what a person says, and sent to where the case is kept."""

from typing import Any

from aiokafka import AIOKafkaProducer
from msgspec import ValidationError

from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.response import Time
from npsflow.streams.engine.installation import Installation

HEADERS = [("content-type", b"application/json")]


class NoAction(ValueError):
    """What was said is no action; the text names the field, not what was in it."""


def action_of(said: dict[str, Any]) -> TeamAction:
    """From the fields of `TeamAction` that are given; those that are None count as not. Raises NoAction."""
    if unknown := sorted(said.keys() - set(TeamAction.__struct_fields__)):
        raise NoAction(f"an action has no field `{unknown[0]}`" if unknown[0].isidentifier() else "a field is unknown")
    try:
        action: TeamAction = codec.convert(
            {name: value for name, value in said.items() if value is not None}, TeamAction
        )
    except ValidationError as error:
        raise NoAction(str(error)) from None
    try:
        codec.encode(action)
    except UnicodeEncodeError:
        raise NoAction("what is said is not UTF-8") from None
    if action.at is not None:
        try:
            codec.convert(action.at, Time)
        except ValidationError:
            raise NoAction("`at` is no time with an offset, as 2026-03-02T09:00:00+01:00 is") from None
    return action


async def send(
    producer: AIOKafkaProducer, installation: Installation, key: str | None, partition: int, action: TeamAction
) -> None:
    """Return when Kafka has acknowledged it. `key` and `partition` are those of the case."""
    await producer.send_and_wait(
        installation.topic(topics.ACTIONS),
        codec.encode(action),
        None if key is None else key.encode(),
        partition,
        headers=HEADERS,
    )
