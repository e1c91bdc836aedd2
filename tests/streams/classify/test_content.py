"""What recognises a response that is sent again, also one that version 0.1 has remembered."""

import json

from npsflow.schemas import codec, topics
from npsflow.schemas.response import Response
from npsflow.streams.classify import content
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from tests.strategies import NOW
from tests.streams.folding import Record, Task
from tests.support.responses import response

WHOLE = b"""{
  "response_id": "r1", "source": "s", "survey_id": "q", "metric": "nps", "score": 9,
  "submitted_at": "2026-03-01T15:00:00.250+01:00", "updated_at": "2026-03-01T16:00:00Z", "deleted": false,
  "comment": "c", "language": "nl", "answers": [{"question_id": "a", "topic": "t", "score": 3}], "question": "why",
  "channel": "web", "journey_stage": "j", "touchpoint": "tp", "department": "d", "team": "tm", "agent_id": "ag",
  "product": "p", "survey_name": "sn", "survey_version": "2", "survey_kind": "relationship",
  "scale": {"min": 0, "max": 10}, "attributes": {"b": 1, "a": true}, "reference": {"type": "order", "id": "o1"},
  "response_url": "https://x.example", "invitation_id": "i1",
  "customer": {"id": "c1", "tier": "plus", "email": "a@example.com"}, "contact_requested": true, "test": false,
  "internal": false
}"""
OF_186FCDF = 4372486028774102515
"""What 186fcdf remembers of it."""


def test_the_digest_of_186fcdf() -> None:
    whole = codec.decode_response(WHOLE)
    assert [name for name in Response.__struct_fields__ if getattr(whole, name) is None] == []
    assert content.older_digest(whole) == OF_186FCDF
    assert content.digest(codec.encode(whole)) != OF_186FCDF


def test_what_186fcdf_has_remembered_is_recognised_and_what_is_new_is_told() -> None:
    fields = response(score=2, survey_name="after a call", comment="slow")
    first = json.dumps(fields).encode()
    read = codec.decode_response(first)
    now, then = (
        content.digest(codec.encode(read)).to_bytes(8, "little"),
        content.older_digest(read).to_bytes(8, "little"),
    )
    assert now != then
    task = Task(Classify(Settings(idle_ticks=False).classify_settings("npsflow/t.", 1)))
    task.take(Record(b"s/1", first))
    task.commit(NOW)
    task.log = [record.replace(now, then) for record in task.log]
    task.restore()
    assert task.take(Record(b"s/1", first, 1)).outcome == "repeated"
    more = json.dumps(fields | {"department": "service"}).encode()
    for offset, outcome in ((2, "counted"), (3, "repeated")):
        assert task.take(Record(b"s/1", more, offset)).outcome == outcome
    types = [dict(output.headers)["ce_type"] for output in task.commit(NOW) if output.topic == topics.SERVICE_RECOVERY]
    assert types == [b"npsflow.alert.enriched.v1"]
