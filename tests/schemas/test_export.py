"""The exported contracts fit what the stages read and write, and the files of the repository are up to date."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from npsflow.agents.commands.schemas import schemas
from npsflow.agents.demo import sample
from npsflow.schemas import descriptions, export, topics
from npsflow.schemas.deltas import TICK, TaskAt, delta_key, encode_deltas, encode_tick, task_headers
from npsflow.schemas.headers import Headers
from npsflow.schemas.times import DAY
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.sections import WatchRule
from npsflow.streams.config.settings import Settings
from npsflow.streams.recovery.settings import Escalation, Recovery
from npsflow.streams.stage import Emit, Output
from npsflow.streams.windows.stage import Rollup
from tests.streams.recovery.recovering import World
from tests.support.responses import response

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
NOW = int(END.timestamp() * 1000)
GENERATED = Path(__file__).parents[2] / "schemas" / "generated"
FILES = {name: json.loads(content) for name, content in export.documents().items()}
ASYNCAPI = FILES["asyncapi.json"]


@dataclass
class Written:
    """A record, as a stage reads it or has written it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    offset: int = 0
    timestamp: int = NOW


def response_json(name: str, score: int, **more: Any) -> bytes:
    return json.dumps(response(name, score, **{"submitted_at": "2026-03-01T15:00:00+01:00"} | more)).encode()


def inputs() -> Iterator[tuple[bytes | None, bytes | None]]:
    """A hundred lines of the sample, then two responses whose alerts and follow-ups go through everything."""
    for line in sample.sample(7, 100, END):
        yield line.key, line.value
    for name, score in (("unhappy", 2), ("happy", 9)):
        key = f"s/{name}".encode()
        customer = {"id": "C-1", "tier": "plus", "value": 1.5, "name": "N", "email": "n@example.org"}
        context = {
            "comment": "é",
            "answers": [{"question_id": "q2", "score": 3}, {"topic": "speed", "text": "slow"}],
            "reference": {"type": "ticket", "id": "1", "url": "https://example.org/1"},
            "attributes": {"region": "N", "seats": 3, "trial": False},
            "channel": 7,
        }
        yield key, response_json(name, score)
        yield key, response_json(name, score, **context)
        yield key, response_json(name, score, **context, customer=customer)
        yield key, response_json(name, 11 - score)
        yield key, response_json(name, score)
        yield key, response_json(name, score, customer={"id": "C-2"})
        yield key, json.dumps({"source": "s", "response_id": name, "deleted": True}).encode()
    yield b"C-1", response_json("elsewhere", 7)
    yield None, b"no response"


@pytest.fixture(scope="module")
def written() -> list[Written]:
    """Everything that the stages write."""
    found: list[Written] = []
    emit: Emit = lambda output: found.append(Written(*output))  # noqa: E731
    settings = Settings()
    classify = Classify(settings.classify_settings("npsflow/t.", 1)).open(0, 1, emit)
    for offset, (key, value) in enumerate(inputs()):
        classify.apply(classify.read(Written(topics.RESPONSES, 0, key, value, [], offset, NOW + offset)))
    classify.checkpoint(NOW)
    roll_up = Rollup(settings.window_settings("npsflow/")).open(0, 1, emit)
    for record in [record for record in found if record.topic == topics.PANES]:
        roll_up.apply(roll_up.read(record))
    roll_up.checkpoint(NOW)
    return found + [Written(*event) for event in [*recovered(), *watched()]]


def watched() -> list[Output]:
    """Every event about a score: a target that is missed for days, then no answers, then good ones."""
    found: list[Output] = []
    rule = WatchRule("overall", "nps", "target", target=30)
    roll_up = Rollup(Settings(watch=[rule]).window_settings("npsflow/")).open(0, 1, found.append)
    day = NOW // DAY
    for score, days in ((2, range(5)), (9, range(30, 40))):
        for of in days:
            delta = Written(
                topics.PANES, 0, delta_key("nps", "0-10", ()), encode_deltas({(): [(day + of) * 288, score, 50]})
            )
            at = TaskAt(0, 1, (day + of + 1) * 24)
            for record in (delta, Written(topics.PANES, 0, TICK, encode_tick(0), task_headers(at))):
                roll_up.apply(roll_up.read(record))
    return found


def recovered() -> list[Output]:
    """Every event about a case."""
    world = World(Recovery(escalations=[Escalation("lead")]))
    world.respond(2, channel="chat")
    world.respond(1)
    world.wait(30)
    world.respond(9)
    for action in ({"action": "acknowledge"}, {"action": "note", "comment": "c"}, {"action": "assign", "assignee": "b"},
                   {"action": "contact"}, {"action": "contact"}, {"action": "close_loop"}, {"action": "reopen"},
                   {"action": "resolve", "root_cause": "no_complaint"}):  # fmt: skip
        world.act(**action)
    world.now += 60_000
    world.respond(8)
    world.respond(2, "C-2", name="r")
    world.delete("r")
    return world.events


def fits(file: str, value: bytes | None) -> None:
    """Raises ValidationError where the value does not fit, or has a field that the schema does not know."""
    Draft202012Validator(FILES[file] | {"additionalProperties": False}).validate(json.loads(value or b"null"))


def fits_message(name: str, record: Written) -> None:
    """The headers fit those of the message with this name."""
    headers = ASYNCAPI["channels"][record.topic]["messages"][name]["headers"]
    given = {key: value.decode() for key, value in record.headers}
    Draft202012Validator(headers | {"additionalProperties": False}).validate(given)


# What the stages write


def test_every_event_fits_its_schema_and_its_message(written: list[Written]) -> None:
    seen = set()
    for record in written:
        if record.topic in export.EVENTS:
            kind = dict(record.headers)["ce_type"].decode()
            fits(export.EVENTS[record.topic][kind], record.value)
            fits_message(kind, record)
            seen.add(kind)
    assert seen == {kind for kinds in export.EVENTS.values() for kind in kinds}


def test_every_window_fits_its_schema(written: list[Written]) -> None:
    windows = [record.value for record in written if record.topic == topics.WINDOWS]
    for window in windows:
        fits("window.json", window)
    assert {"nps", "csat", "ces"} <= {json.loads(window or b"")["metric"] for window in windows}


def test_dead_letters_and_forwarded_records_fit_their_messages(written: list[Written]) -> None:
    dead = [record for record in written if record.topic == topics.DEAD_LETTERS]
    forwarded = [record for record in written if record.topic == topics.RESPONSES]
    assert dead
    assert forwarded
    for record in dead:
        fits_message("dead_letter", record)
    for record in forwarded:
        fits_message("response", record)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("alert.v1.json", {"comment": None}),
        ("alert.v1.json", {"severity": "low"}),
        ("alert.v1.json", {"reference": {"id": 5}}),
        ("alert.v1.json", {"colour": "blue"}),
        ("follow_up.v1.json", {"action": "call"}),
    ],
)
def test_schemas_of_events_refuse_what_is_never_written(
    written: list[Written], file: str, change: dict[str, Any]
) -> None:
    (topic, kind), *_ = [(t, k) for t, kinds in export.EVENTS.items() for k, f in kinds.items() if f == file]
    event = next(r for r in written if r.topic == topic and dict(r.headers)["ce_type"].decode() == kind)
    fits(file, event.value)
    with pytest.raises(ValidationError):
        fits(file, json.dumps(json.loads(event.value or b"") | change).encode())


def test_parts_that_are_written_as_one_object_share_no_field() -> None:
    for parts in export.WRITTEN.values():
        names = [name for part in parts for name in part.__struct_fields__]
        assert len(names) == len(set(names))


# What others write


def test_responses_and_deletions_of_the_sample_fit_their_schemas() -> None:
    files = {"response": "response.json", "correction_score": "response.json", "deletion": "deletion.json"}
    lines = [line for line in sample.sample(7, 2_000, END) if line.kind in files]
    assert {line.kind for line in lines} == files.keys()
    for line in lines:
        fits(files[line.kind], line.value)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"comment": None, "customer": None, "scale": None}, True),
        ({"updated_at": "2026-03-01T15:00:00Z", "attributes": {"a": 1.5}}, True),
        ({"score": None}, False),
        ({"score": True}, False),
        ({"score": 8.5}, False),
        ({"metric": "happiness"}, False),
        ({"response_id": ""}, False),
        ({"channel": "x" * 129}, False),
        ({"survey_kind": "weekly"}, False),
        ({"answers": [{"score": "9"}]}, False),
    ],
)
def test_the_schema_of_a_response_knows_good_from_bad(change: dict[str, Any], good: bool) -> None:
    value = response_json("1", 9, **{k: v for k, v in change.items() if k not in ("score", "metric", "response_id")})
    value = json.dumps(json.loads(value) | change).encode()
    if good:
        return fits("response.json", value)
    with pytest.raises(ValidationError):
        fits("response.json", value)


def test_a_deletion_says_so() -> None:
    fits("deletion.json", b'{"source":"s","response_id":"1","deleted":true}')
    for value in (b'{"source":"s","response_id":"1"}', b'{"source":"s","response_id":"1","deleted":false}'):
        with pytest.raises(ValidationError):
            fits("deletion.json", value)


# The documents


@pytest.mark.parametrize("name", [name for name in FILES if name != "asyncapi.json"])
def test_schemas_are_json_schema_with_a_description(name: str) -> None:
    Draft202012Validator.check_schema(FILES[name])
    assert FILES[name]["description"]


def described() -> Iterator[Any]:
    """Every property of every schema, with those that it can refer to."""
    for file, schema in FILES.items():
        if file != "asyncapi.json":
            for kind in (schema, *schema["$defs"].values()):
                for name, field in kind.get("properties", {}).items():
                    yield pytest.param(field, schema["$defs"], id=f"{file}-{kind['title']}-{name}")


@pytest.mark.parametrize(("field", "definitions"), list(described()))
def test_every_field_has_a_description_and_an_example_that_fits(field: Any, definitions: Any) -> None:
    assert field["description"].endswith(".")
    for example in field["examples"]:
        Draft202012Validator(field | {"$defs": definitions}, format_checker=FormatChecker()).validate(example)
    assert field["examples"]


def test_nothing_is_described_that_is_in_no_schema() -> None:
    used = {
        name
        for schema in FILES.values()
        for kind in (schema, *schema.get("$defs", {}).values())
        for name in kind.get("properties", {})
    }
    assert set(descriptions.names()) == used


def test_asyncapi_has_every_topic_that_is_not_internal() -> None:
    assert {name for name, channel in ASYNCAPI["channels"].items() if channel["address"] == name} == {
        topic.name for topic in topics.ALL
    } - {topic.name for topic in topics.ALL if topic.internal}


def test_asyncapi_refers_to_every_schema_and_to_nothing_else() -> None:
    messages = [m for channel in ASYNCAPI["channels"].values() for m in channel["messages"].values()]
    payloads = {m["payload"]["$ref"].removeprefix("./") for m in messages if "$ref" in m["payload"]}
    assert payloads == FILES.keys() - {"asyncapi.json"}
    channels = [operation["channel"]["$ref"] for operation in ASYNCAPI["operations"].values()]
    assert {channel.removeprefix("#/channels/") for channel in channels} == ASYNCAPI["channels"].keys()


# The command


def test_the_files_of_the_repository_are_up_to_date() -> None:
    assert {file.name: file.read_bytes() for file in GENERATED.iterdir()} == export.documents()


def test_export_writes_and_check_names_what_is_out_of_date(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(schemas, ["export", *arguments, str(tmp_path / "new")])
        return result.exit_code, result.output

    status, output = run("--check")
    assert status == 1
    assert all(name in output for name in FILES)
    assert not (tmp_path / "new").exists()
    assert run()[0] == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()} == export.documents()
    assert run("--check") == (0, "")
    assert run() == (0, f"up to date: {tmp_path / 'new'}\n")
    (tmp_path / "new" / "window.json").write_bytes(b"{}")
    (tmp_path / "new" / "response.json").unlink()
    status, output = run("--check")
    assert status == 1
    assert {name for name in FILES if name in output} == {"window.json", "response.json"}
