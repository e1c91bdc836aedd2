"""A small world: responses go through classify, its events and what teams do through recover, and time passes."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from npsflow.schemas import codec, topics
from npsflow.schemas.response import Metric
from npsflow.schemas.times import HOUR, rfc3339
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.recovery.policy import Policy
from npsflow.streams.recovery.settings import Recovery, clock_of
from npsflow.streams.recovery.stage import Recover, RecoveryFold
from npsflow.streams.recovery.state import RecoveryState
from npsflow.streams.stage import Output
from tests.streams.folding import Record, Task

NOW = int(datetime(2026, 3, 2, 9, 0, tzinfo=UTC).timestamp() * 1000)  # a Monday
PREFIX = "t."
SOURCE = f"npsflow/{PREFIX}"


def header(output: Output, name: str) -> str:
    return dict(output.headers)[name].decode()


class World:
    """`now` in ms; every call commits, so that a `restart` between any two of them loses nothing."""

    def __init__(self, recovery: Recovery | None = None, turned: frozenset[Metric] = frozenset()) -> None:
        policy = recovery or Recovery()
        self.now = NOW
        self._classify = Task(Classify(Settings(ces_seven_is_hard="ces" in turned).classify_settings(SOURCE, 1)))
        self.recover = Task(Recover(Policy(policy, clock_of(policy), turned), SOURCE, PREFIX))
        self.events: list[Output] = []
        """Those about cases, in order."""
        self.dead: list[Output] = []
        self.held: list[Record] | None = None
        """Facts that recover has not read yet, where it does not read them at once."""
        self._numbers = {"response": 0, "action": 0}
        self._answered = set[object]()
        self._standing: dict[bytes | None, dict[str, Any]] = {}

    def respond(self, score: int, customer: str | None = "C-1", name: str | None = None, **more: Any) -> list[str]:
        """One response, now; gives what happened to cases. `name` again: a new version of it."""
        self._numbers["response"] += 1
        customer_fields = more.pop("customer_fields", {})
        fields = {
            "source": "s", "response_id": name or f"r{self._numbers['response']}", "survey_id": "q", "metric": "nps",
            "score": score, "submitted_at": rfc3339(more.pop("submitted", self.now)),
        }  # fmt: skip
        if fields["response_id"] in self._answered:
            fields["updated_at"] = rfc3339(self.now)
        self._answered.add(fields["response_id"])
        if customer is not None:
            fields["customer"] = {"id": customer, **customer_fields}
        return self._response(fields | more)

    def delete(self, name: str) -> list[str]:
        return self._response(
            {"source": "s", "response_id": name, "deleted": True, "updated_at": rfc3339(self.now + 1)}
        )

    def act(self, action: str, customer: str | None = "C-1", **more: Any) -> list[str]:
        """An action, on the newest case unless an id is given."""
        self._numbers["action"] += 1
        fields: dict[str, Any] = {"action_id": f"do-{self._numbers['action']}", "action": action, "by": "anna"}
        fields |= more
        if action != "fixed" and not {"case_id", "alert_id", "follow_up_id"} & more.keys():
            fields["case_id"] = self.cases[-1]["case_id"]
        resolved = any(c["case_id"] == fields.get("case_id") and c["status"] == "resolved" for c in self.cases)
        if action == "close_loop" and not resolved:
            fields = {"root_cause": "late", "comment": "told"} | fields
        return self.send(topics.ACTIONS, (customer or "s/r1").encode(), json.dumps(fields).encode())

    def send(self, topic: str, key: bytes, value: bytes | None) -> list[str]:
        return self.feed([Record(key, value, 0, self.now, [], topic=PREFIX + topic)])

    def wait(self, hours: float) -> list[str]:
        """Time passes in steps of a minute, and nobody does anything."""
        until, happened = self.now + int(hours * HOUR), list[str]()
        while self.now < until:
            self.now = min(until, self.now + 60_000)
            if self.recover.fold.idle(self.now):
                happened += self._commit()
        return happened

    def restart(self) -> None:
        self.recover.restore()

    @property
    def state(self) -> RecoveryState:
        """What the task of recover knows."""
        assert isinstance(self.recover.fold, RecoveryFold)
        return self.recover.fold.state

    @property
    def cases(self) -> list[dict[str, Any]]:
        """As they stand on the compacted topic, the one written last at the end."""
        return list(self._standing.values())

    @property
    def case(self) -> dict[str, Any]:
        """The one that was written last."""
        return self.cases[-1]

    def last(self) -> dict[str, Any]:
        """The value of the last event."""
        value: dict[str, Any] = json.loads(self.events[-1].value or b"")
        return value

    def _response(self, fields: dict[str, Any]) -> list[str]:
        value = json.dumps(fields).encode()
        self._classify.take(Record(f"s/{fields['response_id']}".encode(), value, 0, self.now))
        facts = [
            Record(o.key, o.value, 0, self.now, o.headers, topic=PREFIX + o.topic)
            for o in self._classify.commit(self.now)
            if o.topic in (topics.SERVICE_RECOVERY, topics.FOLLOW_UP)
        ]
        if self.held is not None:
            self.held += facts
            return []
        return self.feed(facts)

    def feed(self, records: Iterable[Record]) -> list[str]:
        """What recover reads; gives what happened to cases."""
        for record in records:
            self.recover.take(record)
        return self._commit()

    def _commit(self) -> list[str]:
        written = self.recover.commit(self.now)
        for output in written:
            if output.topic == topics.CASES:
                self._standing.pop(output.key, None)
                if output.value is not None:
                    self._standing[output.key] = codec.loads(output.value)
        events = [output for output in written if output.topic == topics.SERVICE_RECOVERY]
        self.events += events
        self.dead += [output for output in written if output.topic == topics.DEAD_LETTERS]
        return [header(event, "ce_type").split(".")[2] for event in events]
