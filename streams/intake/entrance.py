"""From one webhook to records: verify, parse, map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

from npsflow.agents import platforms
from npsflow.agents.intake.delivery import Asked, Delivery, Platform
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.fetch import Fetch
from npsflow.streams.intake import mapping
from npsflow.streams.intake.mapping import FormMapping, Offered, Submission

_SECRET = "NPSFLOW_SECRET_"
CUSTOMERS = _SECRET + "CUSTOMERS"
"""The environment variable with the key of pseudonyms."""


class Record(NamedTuple):
    """`topic` without prefix."""

    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Entrance:
    """One `[intake.NAME]`: what its form means, and the secrets that hold now, two while one replaces the other."""

    name: str
    form: FormMapping
    secrets: Sequence[str]
    customers_key: str

    @cached_property
    def _platform(self) -> Platform:
        return platforms.named(self.form.platform)

    def verify(self, delivery: Delivery, now: float) -> None:
        """Raises TurnedDown. `now` in seconds."""
        self._platform.verify(delivery, self.form, self.secrets, now)

    def records(self, delivery: Delivery, now: float) -> list[Record]:
        """What it becomes; nothing where it says nothing yet. `now` in seconds. Raises TurnedDown, Unmapped."""
        parsed = self._platform.parse(delivery, self.form)
        return [record for sent in parsed for record in self.become(sent, now)]

    def become(self, sent: Submission | Offered | Asked, now: float) -> Iterator[Record]:
        """The records of one thing that a platform says. Raises Unmapped."""
        match sent:
            case Submission():
                yield from self.responses(sent)
            case Offered():
                made = mapping.invitation(self.form, sent, self._pseudonym)
                key = made.get("customer", {}).get("id") or f"{made['source']}/{made['invitation_id']}"
                yield Record(topics.INVITATIONS, key.encode(), codec.dumps(made))
            case Asked():
                mapping.mapped(self.form, sent.form)  # else its answers would be fetched in vain
                fetch = Fetch(self.name, sent.event_id, dict(sent.ids), int(now * 1000))
                yield Record(topics.FETCHES, fetch.key(), codec.dumps(fetch))

    def responses(self, sent: Submission) -> Iterator[Record]:
        """Raises Unmapped."""
        for made in mapping.responses(self.form, sent, self._pseudonym):
            key = f"{made['source']}/{made['response_id']}"
            yield Record(topics.RESPONSES, key.encode(), codec.dumps(made))

    def _pseudonym(self, email: str) -> str | None:
        return pseudonym(email, self.customers_key) if self.customers_key else None


def pseudonym(email: str, customers_key: str) -> str:
    """The same for the same address, and nobody without the key can tell of whom it is."""
    key = blake2b(customers_key.encode(), digest_size=32).digest()
    return "e-" + blake2b(email.strip().lower().encode(), digest_size=16, key=key).hexdigest()


def entrances(configured: Mapping[str, FormMapping], environment: Mapping[str, str]) -> dict[str, Entrance]:
    """All of the settings, by name. Raises SettingsError for an unknown platform or a missing secret."""
    found = unsigned(configured, environment)
    for name, entrance in found.items():
        variable = secret_name(name)
        secrets = environment.get(variable, "").split()
        if not secrets:
            raise SettingsError(f"intake.{name} has no secret: set {variable}; two, with a space between, to change it")
        found[name] = replace(entrance, secrets=secrets)
    return found


def unsigned(configured: Mapping[str, FormMapping], environment: Mapping[str, str]) -> dict[str, Entrance]:
    """The same for bodies that need not be verified: no secret is asked for, and none would fit."""
    known = platforms.names()
    sending = {name: form for name, form in configured.items() if form.platform not in platforms.ONLY_EXPORTS}
    for name, form in sending.items():
        if form.platform not in known:
            raise SettingsError(f"intake.{name}: {form.platform!r} is not a platform; there are {', '.join(known)}")
    return {name: mapped(name, form, environment) for name, form in sending.items()}


def mapped(name: str, form: FormMapping, environment: Mapping[str, str]) -> Entrance:
    """A mapping alone."""
    return Entrance(name, form, (), environment.get(CUSTOMERS, ""))


def secret_name(name: str) -> str:
    """The environment variable that holds an entrance's secret."""
    return environment_name(_SECRET, name)


def environment_name(prefix: str, name: str) -> str:
    """The environment variable of an entrance."""
    return prefix + name.upper().replace("-", "_")
