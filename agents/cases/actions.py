"""Actions on cases: checked, and sent to the partition of their case."""

from typing import Any, NamedTuple

from msgspec import ValidationError

from npsflow.agents.kafka.renewed_producer import RenewedProducer
from npsflow.agents.sealing.sealer import CLEAR, Seals
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import TeamAction, comment_problem
from npsflow.schemas.response import Time
from npsflow.streams.engine.installation import Installation
from npsflow.streams.intake.entrance import KeyedRecord

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
    if (problem := comment_problem(action)) is not None:
        raise InvalidAction(problem)
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
    producer: RenewedProducer,
    installation: Installation,
    key: str | None,
    partition: int,
    action: TeamAction,
    sealer: Seals = CLEAR,
) -> None:
    """Return when Kafka has acknowledged it; `key` and `partition` are those of the case. Raises KafkaError.

    Its comment is sealed as the customer's: `sealer` raises as it does.
    """
    record = KeyedRecord(topics.ACTIONS, None if key is None else key.encode(), codec.encode(action), _HEADERS)
    (sealed,) = await sealer.seal([record])
    await producer.send_and_wait(
        installation.topic(topics.ACTIONS), sealed.value, sealed.key, partition, headers=sealed.headers
    )


class Actor(NamedTuple):
    """What a process sends actions with: a producer, where to, and what seals their comments."""

    producer: RenewedProducer
    installation: Installation
    sealer: Seals

    async def send(self, key: str | None, partition: int, action: TeamAction) -> None:
        """See `send_action`."""
        await send_action(self.producer, self.installation, key, partition, action, self.sealer)
