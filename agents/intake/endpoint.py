"""From one webhook to records: verify, parse, map, and read them as a worker will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from npsflow.agents import platforms
from npsflow.agents.platforms.protocol import CONTENT_TYPE, Delivery, Webhook
from npsflow.agents.runtime.secrets import SecretMissing, read_secrets, warn_if_short
from npsflow.schemas import codec, topics
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.headers import Headers
from npsflow.schemas.invitation import Invitation
from npsflow.streams.classify.parsing import read
from npsflow.streams.config.settings import Settings
from npsflow.streams.intake.coverage import check_answered
from npsflow.streams.intake.entrance import CUSTOMERS, Entrance, KeyedRecord, configured_entrance, variable
from npsflow.streams.intake.mapping import FetchRequest, Offer, Submission, Unmapped
from npsflow.streams.scoring.scores import Scales

Event = Submission | Offer | FetchRequest


class Understood(NamedTuple):
    """What one delivery becomes.

    `events`: what it holds; there need be no record of any. `refused`: records that a worker would not take.
    `unmapped`: why something of it is not understood, "" if all is; the text holds nothing that a customer wrote.
    """

    records: Sequence[KeyedRecord] = ()
    events: Sequence[Event] = ()
    refused: Sequence[KeyedRecord] = ()
    unmapped: str = ""

    @property
    def outcome(self) -> str:
        """See Metrics."""
        if self.unmapped:
            return "unmapped"
        return "accepted" if self.records else "no_score" if self.events else "ignored"


@dataclass(frozen=True)
class Endpoint:
    """`/in/NAME`: an entrance, its platform's webhook, and the secrets that hold now, two while one is changed.

    `scales`: those by which a worker reads scores.
    """

    entrance: Entrance
    webhook: Webhook
    secrets: Sequence[str] = field(default=(), repr=False)
    scales: Scales = field(default_factory=Scales)

    @property
    def has_path(self) -> bool:
        """Whether its secret stands behind its name in the address."""
        return self.entrance.form.verification == "path"

    def verify(self, delivery: Delivery, now: float) -> None:
        """Raises Rejected when no secret fits the delivery; `now` in seconds."""
        self.webhook.verify(delivery, self.entrance.form, self.secrets, now)

    def understand(self, delivery: Delivery, now: float) -> Understood:
        """What a verified delivery becomes; `now` in seconds. Raises Malformed for what the platform would not send."""
        events: list[Event] = []
        records: list[KeyedRecord] = []
        refused: list[KeyedRecord] = []
        reasons: list[str] = []
        try:
            events.extend(self.webhook.parse(delivery, self.entrance.form))
        except Unmapped as error:
            reasons.append(str(error))
        for event in events:
            try:
                for record in self._made_of(event, now):
                    if refusal := self._refusal(record):
                        refused.append(record)
                        reasons.append(refusal)
                    else:
                        records.append(record)
            except Unmapped as error:
                reasons.append(str(error))
        return Understood(records, events, refused, reasons[0] if reasons else "")

    def records(self, delivery: Delivery, now: float) -> Sequence[KeyedRecord]:
        """The same, if all of it is understood. Raises Malformed, and Unmapped if not."""
        understood = self.understand(delivery, now)
        if understood.unmapped:
            raise Unmapped(understood.unmapped)
        return understood.records

    def _made_of(self, event: Event, now: float) -> list[KeyedRecord]:
        form = self.entrance.form
        if not (event.form or form.survey_id or (isinstance(event, Submission) and event.deleted)):
            raise Unmapped("it names no form: set survey_id, or the path of the form")
        records = list(self.entrance.records(event, now))
        if not records and isinstance(event, Submission):
            check_answered(form, event)
        return records

    def _refusal(self, record: KeyedRecord) -> str:
        """Why a worker would refuse the record, "" if it would not."""
        value = record.value or b""
        try:
            if record.topic == topics.RESPONSES:
                read(value, self.scales)
            elif record.topic == topics.INVITATIONS:
                codec.convert(codec.loads(value), Invitation)
        except RefusedRecord as error:
            return f"{error.reason}: {error}"
        except msgspec.ValidationError as error:
            return f"invalid_invitation: {error}"
        return "" if len(value) <= topics.MAX_INPUT else "too_large: what it becomes is larger than Kafka takes"


def kept_delivery(body: bytes, headers: Headers) -> Delivery:
    """The delivery that a dead letter keeps, as far as an adapter looks at it."""
    return Delivery({n: v.decode(errors="replace") for n, v in headers if n == CONTENT_TYPE}, body)


def signed(settings: Settings, environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """One for each `[intake.NAME]`, by name. Raises SettingsError as `unsigned`, and for a secret that is none."""
    endpoints = unsigned(settings, environment)
    warn_if_short(CUSTOMERS, environment.get(CUSTOMERS, ""))
    for name, endpoint in endpoints.items():
        if not (secrets := read_secrets(secret_name(name), environment)):
            raise SecretMissing(f"intake.{name} has no secret: set {secret_name(name)}", secret_name(name))
        endpoints[name] = replace(endpoint, secrets=secrets)
    return endpoints


def unsigned(settings: Settings, environment: Mapping[str, str]) -> dict[str, Endpoint]:
    """The same without secrets, for deliveries that are not verified.

    Raises SettingsError for an unknown platform, and for a setting without effect.
    """
    configured, scales = settings.intake, settings.all_scales()
    return {
        name: Endpoint(configured_entrance(name, configured[name], environment), platform.webhook, scales=scales)
        for name, platform in platforms.with_webhook(configured).items()
        if platform.webhook is not None
    }


def secret_name(name: str) -> str:
    """The environment variable that holds an endpoint's secret."""
    return variable("NPSFLOW_SECRET_", name)
