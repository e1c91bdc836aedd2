"""Which events a new standing version causes, and what they say: the facts about alerts and follow-ups."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_64_intdigest

from npsflow.schemas import codec, events, topics
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.response import Customer, Response
from npsflow.schemas.times import rfc3339, to_datetime
from npsflow.streams.classify import lifecycle, policy
from npsflow.streams.classify.fingerprint import changed, fingerprint
from npsflow.streams.classify.stored import ALERT_LIVE, DELETED, FOLLOW_LIVE, INTERNAL, TEST, Remembered
from npsflow.streams.scoring.scores import WORST, Scale
from npsflow.streams.scoring.severity import ALERT_DUE, severity_of
from npsflow.streams.stage import Output

_NOBODY = Customer()


class Identity(Struct, frozen=True, gc=False):
    """Of a response: the input key, and the hex digest of it that names its events; `partition` is where it belongs."""

    key: bytes
    hexed: str
    partition: int


class Told(Struct, frozen=True, gc=False):
    """What events say of a response: `body` is the context encoded, `digest` recognises it."""

    response: Response
    scale: Scale
    rank: int
    warnings: tuple[str, ...]
    context: events.Context
    body: bytes
    digest: int


class Cause(Struct, frozen=True, gc=False):
    """Of an event: Kafka key where a customer is known; when the response was submitted, from when its event is due,
    when the record arrived that raised it and the one that causes this event. Times in ms."""

    customer: bytes
    submitted: int
    since: int
    raised: int
    arrived: int


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


class EventBuilder:
    """Makes events.

    `alert_metrics` may raise alerts; promoters are asked by `rules`, the unhappy by `questions`, of which each language
    has one.
    """

    def __init__(
        self,
        event_source: str,
        alert_metrics: frozenset[str],
        rules: tuple[policy.Rule, ...],
        questions: Mapping[str, str],
        follow_ups: bool,
        private_fields: bool,
        partition_of: Callable[[bytes], int],
    ) -> None:
        self._events = CloudEvents(event_source, [*ALERT.types.values(), *FOLLOW_UP.types.values()])
        self._alert_metrics, self._rules, self._private_fields = alert_metrics, rules, private_fields
        self._questions = questions
        self._follow_ups = follow_ups
        self._partition_of = partition_of
        self._instant = lru_cache(1024)(rfc3339)

    def told(self, r: Response, scale: Scale, rank: int, warnings: tuple[str, ...]) -> Told | None:
        """What events would say; None where nothing is said."""
        if scale.metric == "enps" or not (self._follow_ups or self._unhappy(scale, rank)):
            return None
        c = r.customer or _NOBODY
        context = events.Context(
            r.response_id, r.source, r.survey_id, r.metric, r.score, scale.words[rank], r.submitted_at, r.survey_name,
            r.survey_kind, r.comment, r.language, r.answers, r.channel, r.journey_stage, r.touchpoint, r.department,
            r.team, r.agent_id, r.product, r.attributes, r.reference, r.response_url, r.contact_requested, c.id,
            c.account_id, c.tier, c.value, c.renews_at, c.contact_allowed, c.primary_contact,
            *((c.name, c.email, c.phone) if self._private_fields else ()),
        )  # fmt: skip
        body = codec.encode(context)
        return Told(r, scale, rank, warnings, context, body, xxh3_64_intdigest(body))

    def _unhappy(self, scale: Scale, rank: int) -> bool:
        return rank == WORST and scale.metric in self._alert_metrics

    def first(self, told: Told | None, who: Identity, why: Cause) -> tuple[int, bytes, Output | None]:
        """For a response never seen before: the flag of what is now live, the alert's fingerprint, the one event."""
        if told is None:
            return 0, b"", None
        if self._unhappy(told.scale, told.rank):
            return ALERT_LIVE, fingerprint(told.context), self._alert("started", 1, told, who, why, None)
        return FOLLOW_LIVE, b"", self._follow_up("started", 1, told, who, why)

    def next(
        self,
        before: Remembered,
        old_metric: str,
        after: Remembered,
        new_metric: str,
        told: Told | None,
        who: Identity,
    ) -> tuple[Remembered, list[Output], bool]:
        """The events of a version that replaces another, `after` with their state, and whether alerts are among them.

        `told` is None for what gets no event: deleted, test, internal, of an employee.
        """
        alert = told is not None and self._unhappy(told.scale, told.rank)
        metric_changed = new_metric != old_metric
        category_changed = metric_changed or before.rank != after.rank
        same = not category_changed and before.key == after.key
        if not category_changed and before.flags & (ALERT_LIVE | FOLLOW_LIVE):
            # The clock of a live event never restarts: a late comment buys no time, nor a customer who is known later.
            after = after._replace(since=before.since, raised=before.raised)
        cause = lifecycle.cause(
            deleted=bool(after.flags & DELETED),
            test=bool(after.flags & TEST),
            internal=bool(after.flags & INTERNAL),
            metric_changed=metric_changed,
            category_changed=category_changed,
            moved=before.key != after.key,
        )
        why = Cause(after.key, after.submitted, after.since, after.raised, after.version[1])
        fields = fingerprint(told.context) if alert and told is not None else b""
        outputs: list[Output] = []
        revisions = []
        flags = after.flags
        differs = before.context != after.context
        for strand, last, wanted in (
            (ALERT, before.alert_revision, alert),
            (FOLLOW_UP, before.follow_revision, told is not None and not alert),
        ):
            live, revision = bool(before.flags & strand.flag), last
            for kind, revision in lifecycle.steps(last, live=live, wanted=wanted, same=same, changed=differs):
                if kind == "retracted":
                    outputs.append(self._retracted(strand, revision, old_metric, cause, before.key, who, why))
                    continue
                assert told is not None
                if strand is ALERT:
                    differ = changed(before.fields, fields) if kind == "enriched" else None
                    outputs.append(self._alert(kind, revision, told, who, why, differ))
                else:
                    outputs.append(self._follow_up(kind, revision, told, who, why))
            revisions.append(revision)
            flags |= strand.flag if wanted else 0
        urgent = any(output.topic == topics.SERVICE_RECOVERY for output in outputs)
        after = after._replace(flags=flags, alert_revision=revisions[0], follow_revision=revisions[1], fields=fields)
        return after, outputs, urgent

    def _alert(
        self, kind: lifecycle.Kind, revision: int, told: Told, who: Identity, why: Cause, differ: list[str] | None
    ) -> Output:
        response, alert_id = told.response, ALERT.prefix + who.hexed
        level, reasons = severity_of(told.scale, response.score, response.contact_requested is True)
        why_not = policy.not_actionable(response, why.raised, why.submitted)
        due = (response.submitted_at if why.since == why.submitted else to_datetime(why.since)) + ALERT_DUE
        own = events.Alert(
            alert_id, revision, level, reasons, why_not is None, self._instant(why.raised), due, why_not,
            policy.open_question(response, self._questions), differ, told.warnings,
        )  # fmt: skip
        return self._event(ALERT, kind, alert_id, revision, codec.joined(codec.encode(own), told.body), who, why)

    def _follow_up(self, kind: lifecycle.Kind, revision: int, told: Told, who: Identity, why: Cause) -> Output:
        response, follow_up_id = told.response, FOLLOW_UP.prefix + who.hexed
        action = policy.action(told.scale, told.rank, response, self._rules)
        due = (response.submitted_at if why.since == why.submitted else to_datetime(why.since)) + policy.FOLLOW_UP_DUE
        own = codec.encode(events.FollowUp(follow_up_id, revision, action, True, due))
        return self._event(FOLLOW_UP, kind, follow_up_id, revision, codec.joined(own, told.body), who, why)

    def _retracted(
        self,
        strand: Strand,
        revision: int,
        metric: str,
        cause: events.Cause,
        customer: bytes,
        who: Identity,
        why: Cause,
    ) -> Output:
        """Under the key that heard of it before."""
        source, _, response_id = who.key.decode().partition("/")
        name = strand.prefix + who.hexed
        value = codec.encode(strand.retracted(name, revision, metric, cause, response_id, source))
        return self._event(strand, "retracted", name, revision, value, who, replace(why, customer=customer))

    def _event(
        self, strand: Strand, kind: lifecycle.Kind, name: str, revision: int, value: bytes, who: Identity, why: Cause
    ) -> Output:
        headers = self._events.headers(strand.types[kind], name, revision, self._instant(why.arrived))
        if why.customer:
            return Output(strand.topic, self._partition_of(why.customer), why.customer, value, headers)
        # Without a customer it is the response's own key, and that belongs in this partition.
        return Output(strand.topic, who.partition, who.key, value, headers)
