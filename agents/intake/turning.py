"""From one webhook to records of `survey-responses`: verify, parse, map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from npsflow.agents.intake import platforms
from npsflow.agents.intake.delivery import Delivery
from npsflow.schemas import codec
from npsflow.schemas.errors import SettingsError
from npsflow.streams import forms
from npsflow.streams.forms import Form

_SECRET = "NPSFLOW_SECRET_"
_CUSTOMERS = _SECRET + "CUSTOMERS"

Record = tuple[bytes, bytes]
"""Key and value."""


@dataclass(frozen=True)
class Entrance:
    """One `[intake.NAME]`: what its form means, and the secrets that hold now, two while one replaces the other."""

    name: str
    form: Form
    secrets: Sequence[str]
    customers_key: str

    def verify(self, delivery: Delivery, now: float) -> None:
        """Raises TurnedDown. `now` in seconds."""
        platforms.named(self.form.platform).verify(delivery, self.form, self.secrets, now)

    def records(self, delivery: Delivery) -> list[Record]:
        """What the delivery becomes; nothing where it says nothing yet. Raises TurnedDown, Unmapped."""
        return [
            (f"{response['source']}/{response['response_id']}".encode(), codec.dumps(response))
            for sent in platforms.named(self.form.platform).parse(delivery, self.form)
            for response in forms.responses(self.form, sent, self._pseudonym)
        ]

    def _pseudonym(self, email: str) -> str | None:
        """The same for the same address, and nobody without the key can tell of whom it is."""
        if not self.customers_key:
            return None
        key = blake2b(self.customers_key.encode(), digest_size=32).digest()
        return "e-" + blake2b(email.strip().lower().encode(), digest_size=16, key=key).hexdigest()


def entrances(configured: Mapping[str, Form], environment: Mapping[str, str]) -> dict[str, Entrance]:
    """All of the settings, by name. Raises SettingsError for an unknown platform or a missing secret."""
    found = unsigned(configured, environment)
    for name, entrance in found.items():
        variable = secret_name(name)
        secrets = environment.get(variable, "").split()
        if not secrets:
            raise SettingsError(f"intake.{name} has no secret: set {variable}; two, with a space between, to change it")
        found[name] = replace(entrance, secrets=secrets)
    return found


def unsigned(configured: Mapping[str, Form], environment: Mapping[str, str]) -> dict[str, Entrance]:
    """The same for bodies that need not be verified: no secret is asked for, and none would fit."""
    known = platforms.names()
    for name, form in configured.items():
        if form.platform not in known:
            raise SettingsError(f"intake.{name}: {form.platform!r} is not a platform; there are {', '.join(known)}")
    key = environment.get(_CUSTOMERS, "")
    return {name: Entrance(name, form, (), key) for name, form in configured.items()}


def secret_name(name: str) -> str:
    """The environment variable that holds an entrance's secret."""
    return _SECRET + name.upper().replace("-", "_")
