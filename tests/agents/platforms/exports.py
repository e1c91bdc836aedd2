"""The exports in `fixtures`, read as `npsflow import` reads them.

In each folder: `form.toml`, the mapping; `options.toml`, what is said on the command line; `export.csv` and
`export.json`, exports of the same responses; `expected-csv.json`, `expected-json.json`, what they become;
`webhook.json`, what the platform's webhook said of one of them.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from npsflow.agents.history import platforms
from npsflow.agents.history.export import Context
from npsflow.agents.history.planning import Plan, Planner
from npsflow.agents.history.reading import read
from npsflow.agents.history.times import Clock
from npsflow.agents.intake.entrance import Entrance, mapped
from npsflow.schemas.response import Metric
from npsflow.streams.intake.mapping import FormMapping
from npsflow.streams.scoring.scores import Scales

FIXTURES = Path(__file__).parent / "fixtures"
METRICS: tuple[Metric, ...] = ("nps", "csat", "csat_overall", "ces")


def form(name: str) -> FormMapping:
    return msgspec.convert(tomllib.loads((FIXTURES / name / "form.toml").read_text()), FormMapping)


def options(name: str) -> dict[str, Any]:
    path = FIXTURES / name / "options.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


def context(name: str) -> Context:
    said = options(name)
    zone = ZoneInfo(said["zone"]) if "zone" in said else None
    (only,) = form(name).forms or [""]
    known = said.get("form") or platforms.named(name).form or only
    return Context(Clock(zone, said.get("dates")), known, said.get("make_ids", False))


def entrance(name: str, columns: Mapping[str, str] | None = None) -> Entrance:
    """`columns` beside those of the form."""
    made = form(name)
    return mapped("e", replace(made, columns={**made.columns, **(columns or {})}), {})


def plan(name: str, path: Path, encoding: str = "utf-8", columns: Mapping[str, str] | None = None) -> Plan:
    export, by = platforms.named(name), entrance(name, columns)
    with path.open("rb") as file:
        opened = read(file, export, by.form, context(name), encoding)
        return Planner(by, export, Scales(), METRICS).plan(opened.entries)


def records(made: Plan) -> list[dict[str, Any]]:
    return [json.loads(due.value) for due in made.due]
