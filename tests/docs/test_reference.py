"""Reference tables name every setting, variable, topic and metric there is, and none that is not."""

import re
import tomllib
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from npsflow.agents.board.metrics import Metrics as BoardMetrics
from npsflow.agents.cli import main
from npsflow.agents.fetch.metrics import Metrics as FetchMetrics
from npsflow.agents.intake.metrics import Metrics as IntakeMetrics
from npsflow.agents.notify import kinds
from npsflow.agents.notify.metrics import Metrics as NotifyMetrics
from npsflow.schemas import codec, topics
from npsflow.schemas.cases import Case
from npsflow.schemas.errors import Reason, SettingsError
from npsflow.schemas.events import Context
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation, read_installation
from npsflow.streams.engine.kafka.security import VARIABLES
from npsflow.streams.engine.metrics import Metrics as WorkerMetrics
from npsflow.streams.recovery.case_index import CaseIndex
from npsflow.streams.topology import STAGES
from tests.broker import acls

from . import pages

MADE_STAGES = {name: make(Settings(), Installation()) for name, (make, _) in STAGES.items()}

# Settings


def _structs(kind: Any) -> Iterator[tuple[type[Struct], str]]:
    """The structs within a type, and what stands in a key between them and it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind, ""
    elif origin is typing.Annotated:
        yield from _structs(inner[0])
    elif origin in (typing.Union, types.UnionType):
        for one in inner:
            yield from _structs(one)
    elif origin in (list, dict):
        step = "[]" if origin is list else ".NAME"
        yield from ((struct, step + path) for struct, path in _structs(inner[-1]))


def _fields(struct: type[Struct], prefix: str = "") -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    """Every key that can be set, in the notation of the tables."""
    for field in msgspec.structs.fields(struct):
        key, below = prefix + field.encode_name, list(_structs(field.type))
        if not below or below[0][1].startswith("[]"):
            yield key, field
        for inner, path in below:
            yield from _fields(inner, f"{key}{path}.")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _expect_default(field: msgspec.structs.FieldInfo, cell: str) -> None:
    default = _default(field)
    if default is msgspec.NODEFAULT:
        assert cell == "required"
    elif default is None:
        assert cell == "none"
    else:
        assert msgspec.convert(tomllib.loads(f"value = {pages.code(cell)}")["value"], field.type) == default


KEYS = dict(_fields(Settings))
LISTED = {pages.code(row[0]): row for row in pages.rows("docs/settings.md", ["key", "type", "default", "meaning"])}


def test_every_key_is_listed() -> None:
    assert sorted(LISTED) == sorted(KEYS)


@pytest.mark.parametrize("key", sorted(LISTED))
def test_defaults_are_as_listed(key: str) -> None:
    _expect_default(KEYS[key], LISTED[key][2])


def test_every_option_of_a_notifier_is_listed() -> None:
    listed = {
        (pages.code(kind), pages.code(option)): default
        for kind, option, default, _ in pages.rows("docs/settings.md", ["kind", "option", "default", "meaning"])
    }
    options = {
        (kind, field.encode_name): field
        for kind in kinds.names()
        for field in msgspec.structs.fields(kinds.named(kind).options)
    }

    assert listed.keys() == options.keys()
    for name, default in listed.items():
        _expect_default(options[name], default)


def test_every_kind_is_listed() -> None:
    kind_rows = next(table for table in pages.tables("docs/notifiers.md") if table[0][0] == "kind")
    assert {pages.code(row[0]) for row in kind_rows[1:]} == set(kinds.names())


def test_every_platform_with_a_webhook_is_listed(tmp_path: Path) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text('[intake.shop]\nplatform = "unknown"\n')
    refused = CliRunner().invoke(main, ["intake", "try", "shop", str(config)], env={"NPSFLOW_CONFIG": str(config)})
    known = set(refused.stderr.strip().partition("there are ")[2].split(", "))
    listed = {
        pages.code(row[0]) for row in pages.rows("docs/webhooks.md", ["platform", "what it signs", "particulars"])
    }

    assert listed == known - {"signing", "times"}  # two modules that are no platforms


def test_every_platform_with_an_export_is_listed() -> None:
    command = main.get_command(click.Context(main), "import")
    assert command is not None
    (option,) = [parameter for parameter in command.params if parameter.name == "platform"]
    assert isinstance(option, click.Option)
    known = set(re.findall(r"\w+", (option.help or "").partition(": ")[2]))
    listed = re.search(r"The platforms are (.*?)\.", pages.TEXTS["docs/import.md"], re.DOTALL)

    assert listed is not None
    assert set(re.findall(r"`(\w+)`", listed[1])) == known


# Environment


def test_every_variable_is_listed() -> None:
    listed = {pages.code(row[0]) for row in pages.rows("docs/settings.md", ["variable", "meaning", "default"])}
    sources = [path for top in ("agents", "streams", "schemas") for path in (pages.ROOT / top).rglob("*.py")]
    found = {name for path in sources for name in re.findall(r"NPSFLOW_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))}
    with pytest.raises(SettingsError) as refused:
        read_installation({"NPSFLOW_TYPO": "1"})
    plain = set(str(refused.value).partition("known: ")[2].split(", "))

    assert plain | set(VARIABLES) <= listed
    assert {name for name in listed if not name.startswith(("NPSFLOW_SECRET_", "NPSFLOW_TOKEN_"))} == plain
    assert found <= listed | {"NPSFLOW_TLS", "NPSFLOW_SASL"}
    assert listed <= found


# Topics

TOPICS = {
    pages.code(row[0]): row
    for row in pages.rows("docs/topics.md", ["name", "key", "value", "cleanup", "kept", "written by", "read by"])
}


def test_every_topic_is_listed() -> None:
    assert sorted(TOPICS) == sorted(topics.BY_NAME)


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda topic: topic.name)
def test_topics_are_as_listed(topic: topics.Topic) -> None:
    _, key, value, cleanup, kept, _, _ = TOPICS[topic.name]

    assert (key, cleanup) == (topic.key, topic.cleanup)
    assert kept == ("until deleted" if topic.retention_days is None else f"{topic.retention_days} days")
    assert value.startswith("internal: ") == topic.internal


@pytest.mark.parametrize("operation", ["WRITE", "READ"])
@pytest.mark.parametrize("topic", sorted(topics.BY_NAME))
def test_writers_and_readers_are_as_listed(topic: str, operation: str) -> None:
    """Stages by what the topology says, all others by their permissions; a rebuild does what the stages do."""
    named = {
        name
        for name, stage in MADE_STAGES.items()
        if topic in (stage.outputs if operation == "WRITE" else stage.inputs)
    }
    allowed = {
        process
        for process, found in acls.table("").items()
        for acl in found
        if (acl.resource, acl.name, acl.operation) == ("TOPIC", topic, operation)
    }

    assert ("worker" in allowed) == bool(named)
    listed = filter(None, TOPICS[topic][5 if operation == "WRITE" else 6].split(", "))
    assert sorted(listed) == sorted(allowed - {"worker", "check", "rebuild"} | named)


def test_every_reason_of_a_dead_letter_is_listed() -> None:
    rows = pages.rows("docs/topics.md", ["reason", "meaning", "what helps"])
    listed = [text for row in rows for text in row[0].split(", ")]

    assert sorted(map(pages.code, listed)) == sorted(typing.get_args(Reason))


# Metrics


class Registry(CollectorRegistry):
    """Remembers what was registered, so that every label can be used once."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        self.collectors.append(collector)
        super().register(collector)


def _one_case() -> CaseIndex:
    at = "2026-03-01T12:00:00Z"
    case = Case("c-1", "recovery", 1, "opened", "C-1", opened_at=at, due_at=at, finish_by=at)
    context = Context("r-1", "shop", "s", "nps", 2, "detractor", datetime(2026, 3, 1, 12, tzinfo=UTC))
    cases = CaseIndex()
    cases.update(0, b"c-1", codec.dumps(codec.loads(codec.encode(case)) | codec.loads(codec.encode(context))))
    return cases


def _made() -> dict[str, Collector]:
    """Every metric of every process, by its name as it is scraped."""
    registries = [Registry() for _ in range(5)]
    WorkerMetrics(registries[0], MADE_STAGES.values())
    IntakeMetrics(registries[1])
    FetchMetrics(registries[2])
    NotifyMetrics(registries[3])
    BoardMetrics(registries[4], _one_case())
    return {
        family.name + ("_total" if family.type == "counter" else ""): collector
        for registry in registries
        for collector in registry.collectors
        for family in (collector.describe() if isinstance(collector, Counter) else collector.collect())
    }


METRICS = {pages.code(row[0]): row for row in pages.rows("docs/metrics.md", ["name", "labels", "meaning"])}
MADE = _made()


def test_every_metric_is_listed() -> None:
    assert sorted(METRICS) == sorted(MADE)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_labels_are_as_listed(name: str) -> None:
    labels = [label for label in METRICS[name][1].split(", ") if label]
    collector = MADE[name]
    if labels and isinstance(collector, MetricWrapperBase):
        collector.labels(**dict.fromkeys(labels, "x"))
    samples = [s for family in collector.collect() if name.startswith(family.name) for s in family.samples]
    assert samples
    assert all(sorted(sample.labels.keys() - {"le"}) == sorted(labels) for sample in samples)


@pytest.mark.parametrize("name", pages.NAMES)
def test_metrics_that_are_named_exist(name: str) -> None:
    named = {text.partition("{")[0] for text in pages.inline(name) if re.match(r"npsflow_(?!dlq_|origin)", text)}

    assert named <= METRICS.keys()
