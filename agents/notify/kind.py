"""What a kind of notifier is, and what can become of a message.

Delivered   the other side has it
Again       it could not take it now
Unknown     it gave no answer: it may have it, so it gets it again under the same id
Never       it does not want this one, and will not
Gone        it wants nothing any more
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.errors import explain
from npsflow.streams.notify.message import Message
from npsflow.streams.notify.settings import EVERYBODY, Notifier


class Delivered(NamedTuple):
    """`reference`: what the other side calls it."""

    reference: str = ""


class Again(NamedTuple):
    """`seconds`: how long at least to wait, where that is known. `everybody`: all messages wait as long."""

    why: str
    seconds: float = 0.0
    everybody: bool = False


class Unknown(NamedTuple):
    why: str


class Never(NamedTuple):
    why: str


class Gone(NamedTuple):
    why: str


Result = Delivered | Again | Unknown | Never | Gone
"""`why` is put in the log: nothing of the message is in it, and no secret."""

OUTCOMES: Mapping[type[Result], str] = {
    Delivered: "delivered", Again: "later", Unknown: "unanswered", Never: "refused", Gone: "gone",
}  # fmt: skip


class Sender(Protocol):
    """Sends one message, once, within `SECONDS` or so, and says what became of it."""

    async def send(self, message: Message) -> Result: ...


class Done(NamedTuple):
    """What somebody did there: `reference` is what was sent, `action_id` the same whenever it is told again.

    `final`: it cannot be undone there, and need not be asked for again.
    """

    reference: str
    action_id: str
    by: str
    at: str
    root_cause: str
    comment: str
    final: bool = False


@runtime_checkable
class Watched(Protocol):
    """A sender that also tells what was done about what it sent: which of these resolves its case."""

    async def done(self, references: Sequence[str]) -> list[Done]: ...


SECONDS = 20.0
"""How long an answer is waited for."""

Open = Callable[[Any, Sequence[str]], AbstractAsyncContextManager[Sender]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is particular to a kind. Each lives in one module of `kinds`, as its `KIND`.

    `options` are its own settings, which raise ValueError where they do not fit; `open(options, secrets)` gives what
    sends, or raises SettingsError. `secret` says what the secret is, "" where there is none, and whether it may be
    missing; `secret_fits` whether one can be it. `address` says what is one, "" where nobody is addressed;
    `wrong_address(options, address)` what is wrong with one, "" where nothing is; `per_second` how many messages an
    address takes, unless the settings say so; `apart` that each address is somebody else's, and one that is closed
    closes no other.
    """

    options: type[Struct]
    open: Open
    secret: str = ""
    secret_optional: bool = False
    secret_fits: Callable[[str], bool] = lambda _: True
    address: str = ""
    wrong_address: Callable[[Any, str], str] = lambda _, __: ""
    per_second: float = 10.0
    apart: bool = False


def checked(name: str, kind: Kind, notifier: Notifier) -> Struct:
    """The options of this notifier, once all is right that can be known without its secret. Raises SettingsError."""
    try:
        options = msgspec.convert(notifier.options, kind.options)
    except msgspec.ValidationError as error:
        raise SettingsError(f"notify.{name}.options: {explain(error, kind.options)}") from None
    if kind.address and not notifier.to.get(EVERYBODY):
        raise SettingsError(
            f'notify.{name}: set to = {{ "{EVERYBODY}" = {kind.address} }}, for all that is for nobody else'
        )
    for who, address in notifier.to.items():
        if address and (wrong := kind.wrong_address(options, address)):
            raise SettingsError(f"notify.{name}.to: {who!r} {wrong}")
    return options


@asynccontextmanager
async def opened(name: str, kind: Kind, notifier: Notifier, environment: Mapping[str, str]) -> AsyncIterator[Sender]:
    """What sends for this notifier. Raises SettingsError."""
    options, variable = checked(name, kind, notifier), secret_name(name)
    secrets = environment.get(variable, "").split() if kind.secret else []
    if kind.secret and not secrets and not kind.secret_optional:
        raise SettingsError(f"notify.{name} has no secret: set {variable} to {kind.secret}")
    if not all(map(kind.secret_fits, secrets)):
        raise SettingsError(f"notify.{name}: {variable} has to be {kind.secret}")
    async with AsyncExitStack() as stack:
        try:
            sender = await stack.enter_async_context(kind.open(options, secrets))
        except SettingsError as error:
            raise SettingsError(f"notify.{name}: {error}") from None
        yield sender


def secret_name(name: str) -> str:
    """The environment variable that holds a notifier's secret."""
    return "NPSFLOW_SECRET_NOTIFY_" + name.upper().replace("-", "_")
