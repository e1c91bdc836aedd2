"""What the export of every platform has to do, shown on the files in the folder `export` of its fixtures.

`form.toml` is the mapping; `options.toml`, what the command line says; `export.csv` and `export.json`, exports of the
same responses; `expected-csv.json` and `expected-json.json`, what they become; `webhook.json`, what the platform's
webhook sent of one of them.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from npsflow.agents import platforms
from npsflow.agents.history.planning import Plan, Planner
from npsflow.agents.history.reading import read
from npsflow.agents.platforms.protocol import Delivery, FileOptions
from npsflow.agents.platforms.times import TimeFormat
from npsflow.schemas import topics
from npsflow.schemas.response import Metric, Response
from npsflow.streams.classify import parsing
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.intake.entrance import Entrance
from npsflow.streams.intake.mapping import FormMapping, check
from npsflow.streams.scoring.scores import Scales
from tests.streams.folding import Record, Task

from .conformance import FIXTURES, endpoint

METRICS: tuple[Metric, ...] = ("nps", "csat", "csat_overall", "ces")


class ExportConformance:
    """The export of one platform."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.form = msgspec.convert(tomllib.loads((folder / "form.toml").read_text()), FormMapping)
        self.platform = platforms.by_name(self.form.platform)
        export = self.platform.export
        assert export is not None
        self.export = export
        options = folder / "options.toml"
        self.options = self._options(tomllib.loads(options.read_text()) if options.exists() else {})

    def _options(self, options: Mapping[str, Any]) -> FileOptions:
        zone = ZoneInfo(options["zone"]) if "zone" in options else None
        (only,) = self.form.forms or [""]
        form = options.get("form") or self.export.form or only
        return FileOptions(TimeFormat(zone, options.get("dates")), form, options.get("make_ids", False))

    def entrance(self, columns: Mapping[str, str] | None = None) -> Entrance:
        """`columns` beside those of the form."""
        return Entrance("e", replace(self.form, columns={**self.form.columns, **(columns or {})}))

    def plan(self, path: Path, encoding: str = "utf-8", columns: Mapping[str, str] | None = None) -> Plan:
        entrance = self.entrance(columns)
        with path.open("rb") as source:
            file = read(source, self.export, entrance.form, self.options, encoding)
            return Planner(entrance, self.export, Scales(), METRICS).plan(file.entries)

    def kinds(self) -> list[str]:
        return sorted(path.suffix[1:] for path in self.folder.glob("export.*"))

    def conforms(self) -> None:
        assert check(self.form) is None
        assert self.kinds()
        for kind in self.kinds():
            self._becomes(kind)
            if self.platform.webhook is not None and not (self.options.make_ids and kind == "csv"):
                self._repeats(kind)

    def _exported(self, kind: str) -> Plan:
        return self.plan(self.folder / f"export.{kind}")

    def _becomes(self, kind: str) -> None:
        """Records as expected, which a worker accepts whole."""
        plan = self._exported(kind)
        assert plan.refused == []
        assert values(plan) == json.loads((self.folder / f"expected-{kind}.json").read_text())
        for record in plan.records:
            if record.kind.topic == topics.RESPONSES:
                response, _, warnings = parsing.read(record.value, Scales())
                assert isinstance(response, Response)
                assert record.key == f"{response.source}/{response.response_id}".encode()
                assert warnings == ()

    def _repeats(self, kind: str) -> None:
        """What came before by webhook is only repeated or superseded."""
        came = self._came_before()
        exported = {record.key: record.value for record in self._exported(kind).records}
        assert came
        assert came.keys() <= exported.keys()
        task = Task(Classify(Settings().classify_settings("npsflow/", 2)))
        now = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
        both = [*came.items(), *((key, exported[key]) for key in came)]
        outcomes = [task.take(Record(key, value, n, now + n)).outcome for n, (key, value) in enumerate(both)]
        assert set(outcomes[: len(came)]) == {"counted"}
        assert set(outcomes[len(came) :]) <= ({"repeated"} if kind == "json" else {"repeated", "superseded"})

    def _came_before(self) -> dict[bytes, bytes]:
        """What the webhook became; where answers are fetched, the export in JSON: the same function reads it."""
        webhook = self.folder / "webhook.json"
        if not webhook.exists():
            return {record.key: record.value for record in self._exported("json").records}
        records = endpoint(self.form).records(Delivery({}, webhook.read_bytes()), 0.0)
        return {record.key or b"": record.value or b"" for record in records}


def export(name: str) -> ExportConformance:
    return ExportConformance(FIXTURES / name / "export")


def plan(name: str, path: Path, encoding: str = "utf-8", columns: Mapping[str, str] | None = None) -> Plan:
    return export(name).plan(path, encoding, columns)


def values(plan: Plan) -> list[dict[str, Any]]:
    """Of all records that are to be sent."""
    return [json.loads(record.value) for record in plan.records]
