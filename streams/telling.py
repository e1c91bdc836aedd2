"""Which events a new standing version causes, and what they say: the facts about alerts and follow-ups."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, events, topics
from npsflow.schemas.headers import CloudEvents, Headers
from npsflow.schemas.response import Customer, Response
from npsflow.streams import lifecycle, policy
from npsflow.streams.fingerprint import changed, fingerprint
from npsflow.streams.remembered import ALERT_LIVE, DELETED, FOLLOW_LIVE, INTERNAL, TEST, Remembered
from npsflow.streams.scores import Scale
from npsflow.streams.times import rfc3339, to_datetime

Output = tuple[str, int, bytes | None, bytes | None, Headers]
"""(topic, partition, key, value, headers) for `Emit`."""

_NOBODY = Customer()


class Identity(NamedTuple):
    """Of a response: the input key, and the hex digest of it that names its events; `partition` is where it belongs."""

    key: bytes
    hexed: str
    partition: int


class Told(NamedTuple):
    """What events say of a response: `body` is the context encoded, `digest` recognises it."""

    response: Response
    scale: Scale
    warnings: tuple[str, ...]
    context: events.Context
    body: bytes
    digest: int


@dataclass(frozen=True, slots=True)
class Strand:
    """What alerts and follow-ups differ in. `types`: the CloudEvents type of each kind of step."""

    topic: str
    prefix: str
    flag: int
    types: dict[lifecycle.Kind, str]
    retracted: type[events.AlertRetracted] | type[events.FollowUpRetracted]


ALERT = Strand(
    topics.SERVICE_RECOVERY,
    "a-",
    ALERT_LIVE,
    {
        "started": events.ALERT_RAISED,
        "resumed": events.ALERT_REINSTATED,
        "enriched": events.ALERT_ENRICHED,
        "retracted": events.ALERT_RETRACTED,
    },
    events.AlertRetracted,
)
FOLLOW_UP = Strand(
    topics.FOLLOW_UP,
    "f-",
    FOLLOW_LIVE,
    {
        "started": events.FOLLOW_UP_REQUESTED,
        "resumed": events.FOLLOW_UP_REQUESTED,
        "enriched": events.FOLLOW_UP_ENRICHED,
        "retracted": events.FOLLOW_UP_RETRACTED,
    },
    events.FollowUpRetracted,
)


class Teller:
    """Makes events; `alert_metrics` may raise alerts, `rules` choose what promoters are asked."""

    def __init__(
        self,
        event_source: str,
        alert_metrics: frozenset[str],
        rules: tuple[policy.Rule, ...],
        private_fields: bool,
        partition_of: Callable[[bytes], int],
    ) -> None:
        self._events = CloudEvents(event_source, [*ALERT.types.values(), *FOLLOW_UP.types.values()])
        self._alert_metrics, self._rules, self._private_fields = alert_metrics, rules, private_fields
        self._partition_of = partition_of
        self._instant = lru_cache(1024)(rfc3339)

    def told(self, r: Response, scale: Scale, rank: int, warnings: tuple[str, ...]) -> Told | None:
        """What events would say; None where nothing is ever said (employees)."""
        if scale.metric == "enps":
            return None
        c = r.customer or _NOBODY
        private = (c.name, c.email, c.phone) if self._private_fields else ()
        context = events.Context(
            r.response_id, r.source, r.survey_id, r.metric, r.score, scale.words[rank], r.submitted_at, r.survey_name,
            r.survey_kind, r.comment, r.language, r.answers, r.channel, r.journey_stage, r.touchpoint, r.department,
            r.team, r.agent_id, r.product, r.attributes, r.reference, r.response_url, r.contact_requested, c.id,
            c.account_id, c.tier, c.value, c.renews_at, c.contact_allowed, c.primary_contact, *private,
        )  # fmt: skip
        body = codec.encode(context)
        return Told(r, scale, warnings, context, body, xxh3_64_intdigest(body))

    def first(self, after: Remembered, told: Told | None, who: Identity) -> tuple[Remembered, Output | None, bool]:
        """The one event of a response never seen before, `after` with its state, and whether it is an alert."""
        if told is None:
            return after, None, False
        if policy.wants_alert(told.scale, after.rank, self._alert_metrics):
            fields = fingerprint(told.context)
            after = after._replace(flags=after.flags | ALERT_LIVE, alert_revision=1, fields=fields)
            return after, self._alert("started", 1, after, told, who, None), True
        after = after._replace(flags=after.flags | FOLLOW_LIVE, follow_revision=1)
        return after, self._follow_up("started", 1, after, told, who), False

    def next(
        self, before: Remembered, old_metric: str, after: Remembered, told: Told | None, who: Identity
    ) -> tuple[Remembered, list[Output], bool]:
        """The events of a version that replaces another, `after` with their state, and whether alerts are among them.

        `told` is None for what gets no event: deleted, test, internal, of an employee.
        """
        alert = told is not None and policy.wants_alert(told.scale, after.rank, self._alert_metrics)
        metric_changed = told is None or told.scale.metric != old_metric
        category_changed = metric_changed or before.rank != after.rank
        same = not category_changed and before.key == after.key
        if same:  # the clock of a live event never restarts: a late comment buys no time
            after = after._replace(since=before.since, raised=before.raised)
        cause = lifecycle.cause(
            deleted=bool(after.flags & DELETED),
            test=bool(after.flags & TEST),
            internal=bool(after.flags & INTERNAL),
            metric_changed=metric_changed,
            category_changed=category_changed,
        )
        fields = fingerprint(told.context) if alert and told is not None else b""
        outputs: list[Output] = []
        revisions = []
        flags = after.flags
        for strand, revision, wanted in (
            (ALERT, before.alert_revision, alert),
            (FOLLOW_UP, before.follow_revision, told is not None and not alert),
        ):
            live = bool(before.flags & strand.flag)
            differs = before.context != after.context
            for kind, revision in lifecycle.steps(revision, live=live, wanted=wanted, same=same, changed=differs):
                if kind == "retracted":
                    outputs.append(self._retracted(strand, revision, old_metric, cause, before, after, who))
                elif strand is ALERT:
                    differ = changed(before.fields, fields) if kind == "enriched" else None
                    outputs.append(self._alert(kind, revision, after, told, who, differ))
                else:
                    outputs.append(self._follow_up(kind, revision, after, told, who))
            revisions.append(revision)
            flags |= strand.flag if wanted else 0
        urgent = any(output[0] == topics.SERVICE_RECOVERY for output in outputs)
        after = after._replace(flags=flags, alert_revision=revisions[0], follow_revision=revisions[1], fields=fields)
        return after, outputs, urgent

    def _alert(
        self,
        kind: lifecycle.Kind,
        revision: int,
        after: Remembered,
        told: Told | None,
        who: Identity,
        differ: list[str] | None,
    ) -> Output:
        assert told is not None
        response, alert_id = told.response, ALERT.prefix + who.hexed
        level, reasons = policy.severity(told.scale, response.score, bool(response.contact_requested))
        why_not = policy.not_actionable(response, after.raised, after.submitted)
        raised, due = self._instant(after.raised), self._due_from(after, response) + policy.ALERT_DUE
        question = policy.open_question(response)
        own = events.Alert(
            alert_id, revision, level, reasons, why_not is None, raised, due, why_not, question, differ, told.warnings
        )
        return self._event(ALERT, kind, alert_id, revision, codec.encode(own), told, after, who)

    def _follow_up(
        self, kind: lifecycle.Kind, revision: int, after: Remembered, told: Told | None, who: Identity
    ) -> Output:
        assert told is not None
        response, follow_up_id = told.response, FOLLOW_UP.prefix + who.hexed
        action = policy.action(told.scale, after.rank, response, self._rules)
        due = self._due_from(after, response) + policy.FOLLOW_UP_DUE
        own = codec.encode(events.FollowUp(follow_up_id, revision, action, True, due))
        return self._event(FOLLOW_UP, kind, follow_up_id, revision, own, told, after, who)

    def _due_from(self, after: Remembered, response: Response):  # type: ignore[no-untyped-def]
        return response.submitted_at if after.since == after.submitted else to_datetime(after.since)

    def _event(
        self,
        strand: Strand,
        kind: lifecycle.Kind,
        name: str,
        revision: int,
        own: bytes,
        told: Told,
        after: Remembered,
        who: Identity,
    ) -> Output:
        headers = self._headers(strand, kind, name, revision, after)
        return strand.topic, *self._address(after.key, who), own[:-1] + b"," + told.body[1:], headers

    def _retracted(
        self,
        strand: Strand,
        revision: int,
        metric: str,
        cause: events.Cause,
        before: Remembered,
        after: Remembered,
        who: Identity,
    ) -> Output:
        source, _, response_id = who.key.decode().partition("/")
        name = strand.prefix + who.hexed
        value = codec.encode(strand.retracted(name, revision, metric, cause, response_id, source))
        headers = self._headers(strand, "retracted", name, revision, after)
        return strand.topic, *self._address(before.key, who), value, headers

    def _headers(self, strand: Strand, kind: lifecycle.Kind, name: str, revision: int, after: Remembered) -> Headers:
        at = self._instant(after.version[1]).encode()
        return self._events.headers(strand.types[kind], name, revision, at)

    def _address(self, customer: bytes, who: Identity) -> tuple[int, bytes]:
        """Partition and key. Without a customer it is the response's own key, which belongs in its own partition."""
        return (self._partition_of(customer), customer) if customer else (who.partition, who.key)
