"""Log lines are JSON with their place in the topic, and hold nothing of what a customer wrote or is."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from npsflow.agents.demo import sample
from npsflow.schemas import topics
from npsflow.schemas.errors import ChangelogRefused, RefusedRecord, SettingsError, TransactionFailed
from npsflow.streams.classify import parsing
from npsflow.streams.classify.parsing import read
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.counters import encode_counters
from npsflow.streams.engine.logs import EndFilter, JsonFormatter, LogObserver, RepeatFilter, set_up
from npsflow.streams.engine.task import Task
from npsflow.streams.scoring.scores import Scales
from tests.strategies import END
from tests.streams.engine.tasks import Clock, context, started
from tests.streams.folding import Record
from tests.streams.folding import Task as PlainTask
from tests.support.responses import response

PRIVATE = {"comment": "Terribly slow", "name": "Ann Example", "email": "ann@example.org", "phone": "+31 6 1234"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged anywhere, as it is written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
async def task() -> AsyncIterator[Task]:
    stage = Classify(Settings().classify_settings("npsflow/t.", 1))
    task = started(context(stage, observer=LogObserver()), Clock())
    yield task
    await task.transaction.stop()


def personal(fields: dict[str, Any]) -> set[str]:
    """Values of a response that must not get out: those of the customer, and the comments."""
    customer = fields.get("customer")
    found = [fields.get("comment"), *(customer.values() if isinstance(customer, dict) else ())]
    found += [answer.get("text") for answer in fields.get("answers") or () if isinstance(answer, dict)]
    return {value for value in found if isinstance(value, str) and len(value) > 3}


def odd_ones() -> Iterator[dict[str, Any]]:
    """Responses with personal values that are refused, each in another way, and some that are forgiven."""
    customer = {name: value for name, value in PRIVATE.items() if name != "comment"}
    whole = response(comment=PRIVATE["comment"], customer=customer, answers=[{"text": "Never again"}])
    for name, value in PRIVATE.items():  # what is personal at the place of something else
        for field in ("source", "response_id", "survey_id", "metric", "score", "submitted_at", "scale", "updated_at"):
            yield whole | {field: [value]} if field != "updated_at" else whole | {field: value, "deleted": True}
            yield whole | {field: {name: value}}
            if field in ("metric", "score", "submitted_at"):
                yield whole | {field: value}
    yield whole | {"submitted_at": "1999-01-01T00:00:00Z"}
    yield whole | {"score": 11}
    yield whole | {"channel": ["Ann Example"], "test": "ann@example.org"}


async def test_records_that_are_refused_or_forgiven_leave_nothing_personal(task: Task, lines: io.StringIO) -> None:
    texts: list[str] = []
    values = [json.dumps(fields).encode() for fields in odd_ones()]
    values += [value[:-1] for value in values] + [value.replace(b"Ann", b"\xff") for value in values]
    for value in values:
        try:
            read(value, Scales())
        except RefusedRecord as refused:
            texts.append(str(refused))
    assert len(texts) > 200
    task.process(topics.RESPONSES, [Record(b"s/1", value, at) for at, value in enumerate(values)], len(values))
    text = "\n".join([*texts, lines.getvalue(), *encode_counters(task.fold.counters)])
    assert {value for value in [*PRIVATE.values(), "Never again"] if value in text} == set()


def test_dead_letters_of_the_sample_say_nothing_personal() -> None:
    task, private = PlainTask(Classify(Settings().classify_settings("npsflow/t.", 1))), set[str]()
    for offset, line in enumerate(sample.sample(7, 3_000, END)):
        task.take(Record(line.key, line.value, offset))
        try:
            fields = json.loads(line.value or b"")
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict):
            private |= personal(fields)
    assert len(private) > 500
    letters = [dict(output.headers) for output in task.pending if output.topic == topics.DEAD_LETTERS]
    assert len(letters) > 20
    text = "\n".join(
        {letter["npsflow_dlq_message"].decode() for letter in letters} | encode_counters(task.fold.counters).keys()
    )
    assert [value for value in private if value in text] == []


async def test_a_crash_says_where_and_nothing_personal(
    task: Task, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(value: bytes, scales: Scales) -> None:
        raise ValueError(value.decode())

    monkeypatch.setattr(parsing, "read", fails)
    value = json.dumps(response(**PRIVATE)).encode()
    task.process(topics.RESPONSES, [Record(b"s/1", value, 7)], 8)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert (line["topic"], line["partition"], line["offset"]) == (topics.RESPONSES, 0, 7)
    assert line["level"] == "error"
    assert "ValueError" in line["error"]
    assert "in fails" in line["error"]
    assert [value for value in PRIVATE.values() if value in lines.getvalue()] == []


def formatted(**extra: Any) -> dict[str, Any]:
    record = logging.getLogger("x").makeRecord("x", logging.WARNING, "f", 1, "%s of %d", ("a", 2), None, extra=extra)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_is_an_object_with_its_extras() -> None:
    line = formatted(topic="t", partition=0, offset=7, wait=0.5, error_of=ValueError("x"), position={"a": 1})
    assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
    assert line == {
        "level": "warning", "logger": "x", "message": "a of 2", "topic": "t", "partition": 0, "offset": 7, "wait": 0.5,
        "error_of": "x", "position": {"a": 1},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["mode.Service", "faust.agents"])
def test_of_a_crash_the_hosting_frameworks_may_not_quote_the_error(name: str, lines: io.StringIO) -> None:
    try:
        raise KeyError(PRIVATE["email"])
    except KeyError as error:
        logging.getLogger(name).exception("Crashed reason=%r", error)
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert (line["message"], line["logger"]) == ("Crashed reason=%r", name)
    assert line["error"].endswith("KeyError")
    assert PRIVATE["email"] not in lines.getvalue()
    logging.getLogger(name).warning("%d left", 3)
    assert json.loads(lines.getvalue().splitlines()[1])["message"] == "3 left"


def test_errors_of_our_own_are_quoted(lines: io.StringIO) -> None:
    try:
        raise ChangelogRefused("run `npsflow rebuild`", topic="t", partition=3)
    except ChangelogRefused:
        logging.getLogger("x").exception("no way on")
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert line["message"] == "no way on"
    assert line["error"].endswith("ChangelogRefused: t[3]: run `npsflow rebuild`")


def test_errors_of_tasks_say_where() -> None:
    for kind in (ChangelogRefused, TransactionFailed):
        error = kind("it went wrong", topic="t", partition=3, offset=7)
        assert str(error) == "t[3]@7: it went wrong"
        assert (error.topic, error.partition, error.offset) == ("t", 3, 7)
        assert str(kind("it went wrong", topic="t", partition=3)) == "t[3]: it went wrong"


@pytest.mark.parametrize(("level", "loggers"), [("INFO", ["npsflow"]), ("ERROR", []), ("DEBUG", ["npsflow"])])
def test_clients_are_heard_from_warnings_on(level: str, loggers: list[str]) -> None:
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    chatty = {name: logging.getLogger(name).level for name in ("aiokafka", "faust", "mode", "kafka")}
    stream = io.StringIO()
    try:
        set_up(level, stream)
        for name in ("npsflow", "aiokafka", "faust"):
            logging.getLogger(name).info("hello")
        assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == loggers
        logging.getLogger("aiokafka").error("help")
        assert "help" in stream.getvalue()
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        for name, value in chatty.items():
            logging.getLogger(name).setLevel(value)


def test_what_kafkas_client_repeats_is_said_once_in_a_while() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RepeatFilter())

    def say(at: float, logger: str, message: str, *args: object) -> None:
        record = logging.makeLogRecord({"name": logger, "levelname": "ERROR", "msg": message, "args": args})
        record.created = at
        handler.handle(record)

    for tenths in range(250):
        say(1000 + tenths / 10, "aiokafka", "Unable connect to node with id %s", 1)
    say(1001, "aiokafka", "Unable connect to node with id %s", 2)
    say(1002, "npsflow", "ours")
    say(1002, "npsflow", "ours")
    shown = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [(line["message"][-9:], line.get("repeated")) for line in shown] == [
        ("with id 1", None), ("with id 1", 99), ("with id 1", 99), ("with id 2", None), ("ours", None), ("ours", None),
    ]  # fmt: skip
    say(900, "aiokafka", "Unable connect to node with id %s", 1)  # a clock that was set back
    assert json.loads(stream.getvalue().splitlines()[-1])["repeated"] == 49


def test_a_foreign_error_leaves_its_text_out_wherever_it_is_logged(lines: io.StringIO) -> None:
    """As mode logs the crash of a service, in the name of its module; and as an argument of ours."""
    log, foreign = logging.getLogger("npsflow.streams.source"), ValueError("Ann Example said so")
    log.error("%s Crashed reason=%r", "Source", foreign, exc_info=(ValueError, foreign, None))
    log.warning("trying again: %s", foreign)
    log.warning("trying again: %s", KafkaConnectionError("nobody there"))
    assert "Ann" not in lines.getvalue()
    crashed, ours, kafkas = [json.loads(line)["message"] for line in lines.getvalue().splitlines()]
    assert (crashed, ours) == ("Source Crashed reason='ValueError'", "trying again: ValueError")
    assert kafkas == "trying again: KafkaConnectionError: nobody there"


def test_what_a_worker_ends_by_is_left_to_its_last_line() -> None:
    """As mode logs it, for every service that goes down with the first."""

    def passes(message: str, *args: object) -> bool:
        return bool(EndFilter().filter(logging.LogRecord("a", logging.ERROR, "b", 1, message, args, None)))

    assert not passes("[%s] Crashed reason=%r", "^--Source", SettingsError("it may not start"))
    assert not passes("[^Worker]: We experienced a crash! Reraising original exception...")
    assert passes("[%s] Crashed reason=%r", "^--Source", KeyError("x"))
    assert passes("restore failed, trying again: %s", SettingsError("it is no end"))
