"""A test message to the addresses of a notifier: it arrives, or they say what is wrong in their own words."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import NamedTuple

from npsflow.agents.notify import kinds
from npsflow.agents.notify.kind import (
    Delivered,
    Result,
    open_sender,
    receiver_of,
    secret_variable,
)
from npsflow.agents.runtime.secrets import read_secrets
from npsflow.schemas.errors import SettingsError
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import NotifierSettings

_TYPE = "npsflow.test.v1"


class Trial(NamedTuple):
    """Who was tried, as `to` names them; `receiver`: host and port. `problem`: why it did not arrive, "" if it did.

    `words`: what the receiver answered, without the secret.
    """

    person: str
    receiver: str
    problem: str
    words: str


async def trials(
    name: str, notifier: NotifierSettings, person: str | None, environment: Mapping[str, str]
) -> AsyncIterator[Trial]:
    """Send a test message to a person of `to`, or to each address. Raises SettingsError for wrong settings."""
    kind = kinds.named(notifier.kind)
    async with open_sender(name, kind, notifier, environment) as sender:
        for who, address in _addresses(name, notifier, person).items():
            try:
                result = await sender.send(_message(name, address))
            except Exception as error:  # whatever a library raises of an answer
                yield Trial(who, receiver_of(sender, address), f"our mistake: {type(error).__name__}", "")
                continue
            yield _trial(who, receiver_of(sender, address), result, read_secrets(secret_variable(name), environment))
            await asyncio.sleep(1 / (notifier.per_second or kind.per_second))


def _addresses(name: str, notifier: NotifierSettings, person: str | None) -> dict[str, str]:
    """The addresses to try, each once, by the first who has it."""
    if person is not None and person not in notifier.to:
        raise SettingsError(f"notify.{name}.to: there is no {person!r}")
    chosen = {person: notifier.to[person]} if person is not None else dict(notifier.to)
    first: dict[str, str] = {}
    for who, address in chosen.items():
        first.setdefault(address, who)
    return {who: address for address, who in first.items() if address} or {"": ""}


def _message(name: str, address: str) -> Message:
    id_ = f"test.{token_hex(6)}"
    title = f"A test message of npsflow, notifier {name}: it arrives, there is nothing to do"
    data = {"test": True, "notifier": name}
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Message(id=id_, type=_TYPE, at=at, title=title, data=data, to=address)


def _trial(person: str, receiver: str, result: Result, secrets: Sequence[str]) -> Trial:
    if isinstance(result, Delivered):
        return Trial(person, receiver, "", "")
    words = result.words
    for secret in secrets:
        words = words.replace(secret, "***")
    return Trial(person, receiver, result.reason, words)
