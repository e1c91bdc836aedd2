"""From one webhook to records: verify, parse, map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import Delivery, Webhook
from npsflow.agents.runtime.secrets import read_secrets
from npsflow.schemas.errors import SettingsError
from npsflow.streams.intake.entrance import Entrance, KeyedRecord, configured_entrance, variable
from npsflow.streams.intake.mapping import FormMapping


@dataclass(frozen=True)
class Endpoint:
    """`/in/NAME`: an entrance, its platform's webhook, and the secrets that hold now, two while one is changed."""

    entrance: Entrance
    webhook: Webhook
    secrets: Sequence[str] = ()

    def verify(self, delivery: Delivery, now: float) -> None:
        """Raises Rejected when no secret fits the delivery; `now` in seconds."""
        self.webhook.verify(delivery, self.entrance.form, self.secrets, now)

    def records(self, delivery: Delivery, now: float) -> list[KeyedRecord]:
        """The records of a delivery, none if it holds no score yet; `now` in seconds.

        Raises Rejected when the platform sends nothing like it, Unmapped when the settings do not cover its form.
        """
        events = self.webhook.parse(delivery, self.entrance.form)
        return [record for event in events for record in self.entrance.records(event, now)]


def signed(configured: Mapping[str, FormMapping], environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """One for each `[intake.NAME]`, by name. Raises SettingsError for an unknown platform or a secret that is none."""
    endpoints = unsigned(configured, environment)
    for name, endpoint in endpoints.items():
        if not (secrets := read_secrets(secret_name(name), environment)):
            raise SettingsError(f"intake.{name} has no secret: set {secret_name(name)}")
        endpoints[name] = replace(endpoint, secrets=secrets)
    return endpoints


def unsigned(configured: Mapping[str, FormMapping], environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """The same without secrets, for deliveries that are not verified. Raises SettingsError for an unknown platform."""
    return {
        name: Endpoint(configured_entrance(name, configured[name], environment), platform.webhook)
        for name, platform in platforms.with_webhook(configured).items()
        if platform.webhook is not None
    }


def secret_name(name: str) -> str:
    """The environment variable that holds an endpoint's secret."""
    return variable("NPSFLOW_SECRET_", name)
