"""Every export conforms; and what is particular to one."""

from datetime import UTC

import pytest

from npsflow.agents.history import reading
from npsflow.agents.history.planning import Planner
from npsflow.agents.intake.endpoint import unsigned
from npsflow.agents.platforms.protocol import FileOptions
from npsflow.agents.platforms.times import TimeFormat
from npsflow.schemas import topics
from npsflow.streams.config.settings import Settings
from npsflow.streams.intake.entrance import Entrance
from npsflow.streams.scoring.scores import Scales

from .conformance import FIXTURES
from .exports import METRICS, export, values


@pytest.mark.parametrize("name", sorted(folder.parent.name for folder in FIXTURES.glob("*/export")))
def test_export_conforms(name: str) -> None:
    under = export(name)
    assert "csv" in under.kinds()
    under.conforms()


def test_people_of_delighted_were_asked() -> None:
    under = export("delighted")
    plan = under.plan(under.folder / "people.json")
    assert [record.kind.topic for record in plan.records] == [topics.INVITATIONS] * 2
    assert plan.empty == 1  # nobody has asked her yet
    assert values(plan)[0] == {
        "invitation_id": "9001-1772100000",
        "source": "delighted",
        "survey_id": "after-purchase",
        "sent_at": "2026-02-26T10:00:00Z",
        "customer": {"email": "anna.jansen@example.com"},
    }


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_delighted_needs_no_mapping(kind: str) -> None:
    under = export("delighted")
    form = under.export.default
    assert form is not None
    with (under.folder / f"export.{kind}").open("rb") as source:
        file = reading.read(source, under.export, form, FileOptions(TimeFormat(UTC)))
        plan = Planner(Entrance("delighted", form), under.export, Scales(), METRICS).plan(file.entries)
    unhappy = values(plan)[1]
    assert [unhappy[name] for name in ("response_id", "survey_id", "metric", "score")] == ["70112", "nps", "nps", 2]
    assert unhappy["customer"] == {"email": "anna.jansen@example.com", "name": "Anna Jansen"}


def test_a_platform_that_is_closed_has_no_endpoint() -> None:
    assert unsigned(Settings(intake={"old": export("delighted").form, "new": export("typeform").form}), {}).keys() == {
        "new"
    }
