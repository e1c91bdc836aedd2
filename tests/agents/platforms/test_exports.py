"""An export of each platform becomes what it should, and nothing else than what its webhooks became."""

import json
from datetime import UTC, datetime

import pytest

from npsflow.agents import platforms as sending
from npsflow.agents.history import platforms, reading
from npsflow.agents.history.export import Context
from npsflow.agents.history.planning import Planner
from npsflow.agents.history.times import Clock
from npsflow.agents.intake.delivery import Delivery
from npsflow.agents.intake.entrance import mapped, unsigned
from npsflow.schemas import topics
from npsflow.schemas.response import Response
from npsflow.streams.classify.parsing import read
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.intake import mapping
from npsflow.streams.scoring.scores import Scales
from tests.streams.folding import Record, Task

from .exports import FIXTURES, METRICS, entrance, form, plan, records

READ_BY_AN_ADAPTER = {*sending.names(), *sending.ONLY_EXPORTS}
EXPORTS = sorted(
    (path.parent.name, path.suffix[1:])
    for path in FIXTURES.glob("*/export.*")
    if path.suffix == ".csv" or path.parent.name in READ_BY_AN_ADAPTER
)
CAME_BEFORE = [
    (name, kind)
    for name, kind in EXPORTS
    if name in sending.names() and (name, kind) != ("google_forms", "csv")  # has no ids
]


def test_every_platform_has_fixtures() -> None:
    assert platforms.names() == sorted(folder.name for folder in FIXTURES.iterdir())
    assert READ_BY_AN_ADAPTER & set(platforms.names())


@pytest.mark.parametrize(("name", "kind"), EXPORTS)
def test_an_export_becomes_records(name: str, kind: str) -> None:
    assert mapping.check(form(name)) is None
    made = plan(name, FIXTURES / name / f"export.{kind}")
    assert made.refused == []
    assert records(made) == json.loads((FIXTURES / name / f"expected-{kind}.json").read_text())
    for due in made.due:
        if due.kind.topic == topics.RESPONSES:
            response, _, warnings = read(due.value, Scales())
            assert isinstance(response, Response)
            assert due.key == f"{response.source}/{response.response_id}".encode()
            assert warnings == ()


def came_before(name: str) -> dict[bytes, bytes]:
    """What the webhook became; where answers are fetched, what its export in JSON is: it is read by who fetches."""
    webhook = FIXTURES / name / "webhook.json"
    if webhook.exists():
        return {key: value for _, key, value in entrance(name).records(Delivery({}, webhook.read_bytes()), 0.0)}
    return {due.key: due.value for due in plan(name, FIXTURES / name / "export.json").due}


@pytest.mark.parametrize(("name", "kind"), CAME_BEFORE)
def test_what_came_before_is_only_repeated_or_superseded(name: str, kind: str) -> None:
    came = came_before(name)
    exported = {due.key: due.value for due in plan(name, FIXTURES / name / f"export.{kind}").due}
    assert came.keys() <= exported.keys()

    task = Task(Classify(Settings().meaning("", 2)))
    now = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
    both = [*came.items(), *((key, exported[key]) for key in came)]
    outcomes = [task.take(Record(key, value, n, now + n)).outcome for n, (key, value) in enumerate(both)]
    assert set(outcomes[: len(came)]) == {"counted"}
    assert set(outcomes[len(came) :]) <= {"repeated", "superseded"}
    if kind == "json":
        assert set(outcomes[len(came) :]) == {"repeated"}


def test_people_of_delighted_were_asked() -> None:
    made = plan("delighted", FIXTURES / "delighted" / "people.json")
    assert [due.kind.topic for due in made.due] == [topics.INVITATIONS] * 2
    assert made.silent == 1  # nobody has asked her yet
    assert records(made)[0] == {
        "invitation_id": "9001-1772100000",
        "source": "delighted",
        "survey_id": "after-purchase",
        "sent_at": "2026-02-26T10:00:00Z",
        "customer": {"email": "anna.jansen@example.com"},
    }


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_delighted_needs_no_mapping(kind: str) -> None:
    export = platforms.named("delighted")
    assert export.default is not None
    with (FIXTURES / "delighted" / f"export.{kind}").open("rb") as file:
        opened = reading.read(file, export, export.default, Context(Clock(UTC)))
        made = Planner(mapped("delighted", export.default, {}), export, Scales(), METRICS).plan(opened.entries)
    unhappy = records(made)[1]
    assert [unhappy[name] for name in ("response_id", "survey_id", "metric", "score")] == ["70112", "nps", "nps", 2]
    assert unhappy["customer"] == {"email": "anna.jansen@example.com", "name": "Anna Jansen"}


def test_a_platform_that_is_closed_is_no_entrance() -> None:
    assert unsigned({"old": form("delighted"), "new": form("typeform")}, {}).keys() == {"new"}
