"""(a) The story of two customers, printed as it happens."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer

from npsflow.agents.cases.actions import parse_action, send_action
from npsflow.agents.demo import feeding, show
from npsflow.agents.demo.installation import DemoInstallation
from npsflow.agents.demo.lines import Fields
from npsflow.agents.demo.workers import DemoFailed
from npsflow.agents.kafka import clients, reading
from npsflow.agents.kafka.renewed_producer import RenewedProducer, renewed_producer
from npsflow.agents.runtime.terminal import minute
from npsflow.schemas import codec, events, topics
from npsflow.schemas.cases import CaseEvent, event_type
from npsflow.schemas.partitioner import partition_of

_SECONDS = 30.0
_ANNA: Fields = {
    "source": "formbricks",
    "response_id": "story-1",
    "survey_id": "after-chat",
    "metric": "nps",
    "score": 2,
    "channel": "chat",
    "department": "Support",
    "customer": {"id": "C-90001", "tier": "business"},
}
_BRAM = _ANNA | {
    "source": "call-centre",
    "response_id": "story-2",
    "survey_id": "after-call",
    "score": 3,
    "channel": "phone",
    "customer": {"id": "C-90002"},
}
_HELP: tuple[tuple[dict[str, Any], str], ...] = (
    ({"action": "contact", "comment": "called"}, "Somebody of Support calls within the hour."),
    (
        {"action": "resolve", "root_cause": "no call back", "comment": "number was wrong"},
        "The cause is found: the number to call back was wrong.",
    ),
    ({"action": "close_loop", "comment": "told"}, "The customer hears what was done."),
)
"""What a team does, and what is printed about it."""
_COMES_OF: dict[str, CaseEvent] = {"contact": "contacted", "resolve": "resolved", "close_loop": "loop_closed"}
_COMMENT = "I explained it three times, and nobody called back."


async def tell(here: DemoInstallation) -> None:
    """Send two responses and what is corrected in them; print what comes of each, and after how long."""
    async with (
        feeding.platforms(here) as platforms,
        clients.reader(here.installation) as consumer,
        renewed_producer(here.installation) as producer,
    ):
        stage = _Stage(here, platforms, consumer, producer)
        await stage.listen()

        anna = _ANNA | {"submitted_at": _now()}
        show.say("Customer C-90001 gives a 2 after a chat with Support, without a comment (Formbricks).")
        await stage.send(anna)
        alert = await stage.event(events.ALERT_RAISED, anna)
        _say_alert(stage, alert)
        case = await stage.event(event_type("opened"), anna)
        show.say(f"  → case opened after {stage.ms} ms, of {case['owner']}: “{case['message']}”")
        show.say(f"The comment comes later: “{_COMMENT}”")
        await stage.send(anna | {"comment": _COMMENT, "updated_at": _now()})
        alert = await stage.event(events.ALERT_ENRICHED, anna)
        show.say(f"  → alert enriched after {stage.ms} ms: revision {alert['revision']}, new: {_changed(alert)}")

        for action, text in _HELP:
            show.say(text)
            await stage.act(case, action)
            case = await stage.event(event_type(_COMES_OF[action["action"]]), anna)
            show.say(f"  → case {case['status'].replace('_', ' ')} after {stage.ms} ms")
        again = _ANNA | {"response_id": "story-3", "score": 9, "submitted_at": _now()}
        show.say("Customer C-90001 is asked again later, and gives a 9.")
        await stage.send(again)
        won = await stage.event(event_type("won_back"), anna)
        show.say(f"  → won back after {stage.ms} ms: {won['score']} then, 9 now")

        bram = _BRAM | {"submitted_at": _now()}
        show.say("Customer C-90002 gives a 3 after a call with Support (JSON of the call centre's own).")
        await stage.send(bram)
        _say_alert(stage, await stage.event(events.ALERT_RAISED, bram))
        show.say("It was a slip of the finger: the 3 is corrected to a 9.")
        await stage.send(bram | {"score": 9, "updated_at": _now()})
        retracted = await stage.event(events.ALERT_RETRACTED, bram)
        show.say(f"  → alert retracted after {stage.ms} ms, because of its {retracted['cause']}")
        follow_up = await stage.event(events.FOLLOW_UP_REQUESTED, bram)
        show.say(f"  → follow-up requested after {stage.ms} ms: thank, and ask for a {follow_up['action']}")


def _say_alert(stage: "_Stage", alert: Mapping[str, Any]) -> None:
    due = minute(alert["due_at"])
    show.say(f"  → alert raised after {stage.ms} ms: {alert['severity']}, due {due} UTC, answer by {alert['channel']}")
    show.say(f"    open question: {alert['open_question']}")


def _changed(alert: Mapping[str, Any]) -> str:
    return ", ".join(alert["changed"])


def _now() -> str:
    return datetime.now(UTC).isoformat()


class _Stage:
    """Sends responses and actions, and hears of events. `ms`: from what was sent last to the event heard last."""

    def __init__(
        self,
        here: DemoInstallation,
        platforms: feeding.Platforms,
        consumer: AIOKafkaConsumer,
        producer: RenewedProducer,
    ) -> None:
        self.ms = 0
        self._here, self._platforms, self._consumer, self._producer = here, platforms, consumer, producer
        self._sent = 0.0
        self._heard: list[tuple[str, float, dict[str, Any]]] = []

    async def listen(self) -> None:
        """Hear what is written from now on."""
        names = (topics.SERVICE_RECOVERY, topics.FOLLOW_UP)
        of = [tp for name in names for tp in await reading.partitions(self._here.installation, name)]
        self._consumer.assign(of)
        await self._consumer.seek_to_end(*of)

    async def send(self, response: Fields) -> None:
        """Send a response as its platform does."""
        self._sent = time.monotonic()
        await self._platforms.respond(response)

    async def act(self, case: Mapping[str, Any], action: Mapping[str, Any]) -> None:
        """Send a team's action on `recovery-actions`, as `npsflow act` does."""
        self._sent = time.monotonic()
        made = parse_action({"action_id": uuid4().hex, "by": "support", "case_id": case["case_id"], **action})
        partition = partition_of(case["key"].encode(), self._here.settings.topics.partitions)
        await send_action(self._producer, self._here.installation, case["key"], partition, made)

    async def event(self, kind: str, response: Fields) -> dict[str, Any]:
        """The event of this kind that the last response caused. Raises DemoFailed when it does not come."""
        deadline = time.monotonic() + _SECONDS
        with show.waiting(f"waiting for {kind}"):
            while True:
                for heard, at, value in self._heard:
                    if heard == kind and value["response_id"] == response["response_id"] and at > self._sent:
                        self.ms = round((at - self._sent) * 1000)
                        return value
                self._here.check()
                if time.monotonic() > deadline:
                    raise DemoFailed(f"no {kind} within {_SECONDS:.0f} s")
                await self._hear()

    async def _hear(self) -> None:
        for records in (await self._consumer.getmany(timeout_ms=500)).values():
            at = time.monotonic()
            for record in records:
                kind = dict(record.headers)["ce_type"].decode()
                self._heard.append((kind, at, codec.loads(record.value)))
