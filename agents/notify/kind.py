"""What a kind of notifier is, and what can become of a message that it sends."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from npsflow.agents.runtime.secrets import SecretMissing, read_secrets
from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.errors import explain
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import EVERYBODY, NotifierSettings

SEND_SECONDS = 20.0
"""How long a sender waits for an answer."""


Concern = Literal["message", "address", "receiver"]
"""What a failure is about: one message, all to its address (channel, mailbox, URL), or all to its receiver (a host)."""


class Delivered(NamedTuple):
    """The receiver has the message; `reference` is what it calls it."""

    reference: str = ""


class RetryLater(NamedTuple):
    """The receiver could not take it now. `seconds`: the least to wait.

    It counts as a try of this message, which may be the cause. All others that it `concerns` wait until one of them has
    come through.
    """

    reason: str
    seconds: float = 0.0
    concerns: Concern = "message"
    words: str = ""


class Unavailable(NamedTuple):
    """The receiver cannot be reached, or refuses us and not the message: no try of a message, and none is given up.

    `seconds`: the least to wait. All that it `concerns` wait until one message has come through.
    """

    reason: str
    seconds: float = 0.0
    concerns: Concern = "receiver"
    words: str = ""


class Unconfirmed(NamedTuple):
    """The receiver gave no answer and may have the message: it is sent again under the same id, the others wait."""

    reason: str
    concerns: Concern = "receiver"
    words: str = ""


class Rejected(NamedTuple):
    """The receiver will never take this message."""

    reason: str
    words: str = ""


class Disabled(NamedTuple):
    """This address wants no messages any more."""

    reason: str
    words: str = ""


Failure = RetryLater | Unavailable | Unconfirmed | Rejected | Disabled
Result = Delivered | Failure
"""A `reason` is written to the log: it holds no secret and nothing of the message, and says what to do where that is
known. `words` are what the receiver answered, for whoever tries it by hand."""

OUTCOMES: Mapping[type[Result], str] = {
    Delivered: "delivered", RetryLater: "later", Unavailable: "later", Unconfirmed: "unanswered", Rejected: "refused",
    Disabled: "gone",
}  # fmt: skip
"""The name of each result in metrics."""


class Sender(Protocol):
    """Sends messages to one receiver."""

    async def send(self, message: Message) -> Result:
        """Send it once, within about `SEND_SECONDS`. Does not raise for what the receiver does."""
        ...


@runtime_checkable
class NamesReceiver(Protocol):
    """A sender that can also say where messages go."""

    def receiver(self, address: str) -> str:
        """Host and port of where messages to this address go: nothing that is secret."""
        ...


class Resolution(NamedTuple):
    """Somebody has resolved the case at the receiver, in the ticket `reference`.

    `action_id` is the same whenever it is reported. `at`: RFC 3339. `final`: the ticket cannot be opened again.
    """

    reference: str
    action_id: str
    by: str
    at: str
    root_cause: str
    comment: str
    final: bool = False


@runtime_checkable
class ReportsResolutions(Protocol):
    """A sender that can also ask which tickets are resolved."""

    async def resolutions(self, references: Sequence[str]) -> list[Resolution]:
        """Those of these tickets that are resolved."""
        ...


Open = Callable[[Any, Sequence[str]], AbstractAsyncContextManager[Sender]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of notifier. Each is one module of `kinds`, as its `KIND`.

    `options`: its own settings; their `__post_init__` may raise ValueError. `open(options, secrets)` makes the sender,
    or raises SettingsError. `secret`: says what the secret is, "" if there is none. `secret_fits`: whether a text can
    be one. `two_secrets`: the one that replaces it is used too. `address`: says what an address is, "" if there is
    none. `address_problem(options, address)`: what is wrong with an address, "" if nothing is. `per_second`: messages
    to one address, unless the settings say otherwise.
    `separate_addresses`: each address has a receiver of its own, which its sender names.
    """

    options: type[Struct]
    open: Open
    secret: str = ""
    secret_optional: bool = False
    secret_fits: Callable[[str], bool] = lambda _: True
    two_secrets: bool = False
    address: str = ""
    address_problem: Callable[[Any, str], str] = lambda _, __: ""
    per_second: float = 10.0
    separate_addresses: bool = False


def check_options(name: str, kind: Kind, notifier: NotifierSettings) -> Struct:
    """The options of a notifier. Raises SettingsError when they or its addresses are wrong; looks at no secret."""
    try:
        options = msgspec.convert(notifier.options, kind.options)
    except msgspec.ValidationError as error:
        raise SettingsError(f"notify.{name}.options: {explain(error, kind.options, notifier.options)}") from None
    if kind.address and not notifier.to.get(EVERYBODY):
        raise SettingsError(
            f'notify.{name}: set to = {{ "{EVERYBODY}" = {kind.address} }}, for all that is for nobody else'
        )
    for person, address in notifier.to.items():
        if address and (problem := kind.address_problem(options, address)):
            raise SettingsError(f"notify.{name}.to: {person!r} {problem}")
    return options


def read_kind_secrets(name: str, kind: Kind, environment: Mapping[str, str]) -> list[str]:
    """The secrets of a notifier. Raises SettingsError, SecretMissing among them."""
    variable = secret_variable(name)
    secrets = read_secrets(variable, environment) if kind.secret else []
    if kind.secret and not secrets and not kind.secret_optional:
        raise SecretMissing(f"notify.{name} has no secret: set {variable} to {kind.secret}", variable)
    if len(secrets) > 1 and not kind.two_secrets:
        raise SettingsError(
            f"notify.{name}: {variable}_NEXT has no effect on this kind of notifier: replace {variable}"
        )
    if not all(map(kind.secret_fits, secrets)):
        raise SettingsError(f"notify.{name}: {variable} has to be {kind.secret}")
    return secrets


@asynccontextmanager
async def open_sender(
    name: str, kind: Kind, notifier: NotifierSettings, environment: Mapping[str, str]
) -> AsyncIterator[Sender]:
    """The sender of a notifier. Raises SettingsError when its options, addresses or secret are wrong."""
    options, secrets = check_options(name, kind, notifier), read_kind_secrets(name, kind, environment)
    async with AsyncExitStack() as stack:
        try:
            sender = await stack.enter_async_context(kind.open(options, secrets))
        except SettingsError as error:
            raise SettingsError(f"notify.{name}: {error}") from None
        yield sender


def receiver_of(sender: Sender, address: str) -> str:
    """Where messages to this address go, "" where the sender does not say."""
    return sender.receiver(address) if isinstance(sender, NamesReceiver) else ""


def secret_variable(name: str) -> str:
    """The environment variable that holds a notifier's secret."""
    return "NPSFLOW_SECRET_NOTIFY_" + name.upper().replace("-", "_")
