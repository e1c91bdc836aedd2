"""What a rebuild leaves out: everything that stands on the output topics already."""

import json

import pytest

from npsflow.schemas import topics
from npsflow.schemas.headers import CloudEvents, DeadLetter, Headers, with_origin
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.replay import PublishedOutputs, Replayed
from npsflow.streams.stage import Output
from npsflow.streams.topology import OUTPUT_IDS
from tests.strategies import own_key
from tests.streams.folding import Record, Task
from tests.support.responses import response

STAGE = Classify(Settings().classify_settings("npsflow/t.", 1))
FIRST, CORRECTED = response(score=2), response(score=1, updated_at="2026-03-01T15:08:00Z")


def events(stage: Classify | Replayed, *values: dict[str, object]) -> list[Output]:
    task = Task(stage)
    for offset, value in enumerate(values):
        encoded = json.dumps(value).encode()
        task.take(Record(own_key(encoded), encoded, offset))
    return [output for output in task.pending if output.topic == topics.SERVICE_RECOVERY]


def published(outputs: list[Output]) -> PublishedOutputs:
    known = PublishedOutputs(OUTPUT_IDS)
    known.add(topics.SERVICE_RECOVERY, [Record(o.key, o.value, headers=o.headers) for o in outputs])
    return known


def test_what_stands_is_left_out_and_what_is_missing_is_not() -> None:
    first, second = events(STAGE, FIRST, CORRECTED)
    assert events(Replayed(STAGE, published([first, second])), FIRST, CORRECTED) == []
    assert events(Replayed(STAGE, published([first])), FIRST, CORRECTED) == [second]
    assert events(Replayed(STAGE, published([])), FIRST, CORRECTED) == [first, second]


def test_a_correction_whose_first_version_is_gone_raises_nothing_again() -> None:
    """Retention has taken the first record and its event; the replay takes the second for the first."""
    _, second = events(STAGE, FIRST, CORRECTED)
    assert events(Replayed(STAGE, published([second])), CORRECTED) == []


@pytest.mark.parametrize(
    ("topic", "one", "other"),
    [
        (topics.RESPONSES, with_origin([], 1, 2, 3), with_origin([], 1, 2, 4)),
        (
            topics.DEAD_LETTERS,
            DeadLetter("not_json", "", "t", 0, 7, "now").headers([]),
            DeadLetter("not_json", "", "t", 0, 8, "now").headers([]),
        ),
        (topics.FOLLOW_UP, CloudEvents("s", ["t"]).headers("t", "f-1", 1, "now"), []),
    ],
)
def test_what_it_is_known_by(topic: str, one: Headers, other: Headers) -> None:
    known = PublishedOutputs(OUTPUT_IDS)
    known.add(topic, [Record(b"k", b"v", headers=one)])
    assert (known.has(topic, one), known.has(topic, other), known.has(topics.PANES, one)) == (True, False, False)
