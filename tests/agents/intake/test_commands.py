"""`npsflow intake try`, and what becomes of webhooks that nobody understood when they came."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.cli import main
from npsflow.agents.intake.endpoint import signed
from npsflow.agents.platforms.protocol import Delivery, Forged
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.headers import DeadLetter
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.config.settings import parse
from tests.agents.platforms.conformance import FIXTURES
from tests.broker.command_harness import CommandHarness
from tests.support.waiting import wait_until

TYPEFORM = FIXTURES / "typeform"
MAPPING = (TYPEFORM / "form.toml").read_text()
SETTINGS = "[intake.shop]\n" + MAPPING.replace("[[", "[[intake.shop.").replace("\n[f", "\n[intake.shop.f").replace(
    "\n[v", "\n[intake.shop.v"
).replace("\n[d", "\n[intake.shop.d")


def tried(folder: Path, settings: str, name: str = "shop") -> Result:
    config = folder / "npsflow.toml"
    config.write_text(settings)
    arguments = ["intake", "try", name, str(TYPEFORM / "good.json")]
    return CliRunner().invoke(main, arguments, env={"NPSFLOW_CONFIG": str(config)})


def test_try_shows_what_a_body_would_become(tmp_path: Path) -> None:
    result = tried(tmp_path, SETTINGS)
    assert result.exit_code == 0, result.output
    assert [json.loads(result.stdout)] == json.loads((TYPEFORM / "expected.json").read_text())
    assert "typeform/a3a12ec67a1365927098a606107fac15: accepted" in result.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SETTINGS.replace('"lT4Z3j"', '"other"'), "unmapped`: form 'lT4Z3j' is not among the forms"),
        (SETTINGS.replace('"answers.nps"', '"answers.other"'), "none of the questions named as scores"),
        (SETTINGS.replace('platform = "typeform"', 'platform = "paper"'), "'paper' is not a platform; there are "),
        (SETTINGS.replace("channel =", "chanel ="), "'chanel' is not a field that a form can fill"),
        ("", "there is no [intake.shop]"),
    ],
)
def test_try_says_what_is_wrong(tmp_path: Path, settings: str, message: str) -> None:
    result = tried(tmp_path, settings)
    assert result.exit_code > 0
    assert message in result.stderr


def test_intake_does_not_start_without_a_secret(tmp_path: Path) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text(SETTINGS)
    result = CliRunner().invoke(main, ["intake"], env={"NPSFLOW_CONFIG": str(config)})
    assert result.exit_code == 2
    assert "intake.shop has no secret: set NPSFLOW_SECRET_SHOP" in result.stderr


def test_replay_understands_what_has_been_mapped_meanwhile(broker: Broker, tmp_path: Path) -> None:
    harness = CommandHarness(broker, "intake-replay.", tmp_path)
    assert harness.run("topics", "create").exit_code == 0
    good = (TYPEFORM / "good.json").read_bytes()
    at = "2026-03-01T15:02:11.000Z"
    headers = DeadLetter("unmapped", "no score question is named", "intake/shop", 0, 0, at, "typeform").headers([])
    harness.produce(DEAD_LETTERS, None, good, headers)

    assert harness.run("dlq", "replay").exit_code == 0  # the mapping is still missing: it comes back
    wait_until(lambda: len(harness.records(DEAD_LETTERS)) == 2)  # a commit is decided before it is visible
    assert harness.records(RESPONSES) == []

    harness.config.write_text(SETTINGS)
    assert harness.run("dlq", "replay").exit_code == 0
    wait_until(lambda: bool(harness.records(RESPONSES)))
    (record,) = harness.records(RESPONSES)
    assert [json.loads(record.value or b"")] == json.loads((TYPEFORM / "expected.json").read_text())


KOBO = """
[intake.kobo]
platform = "generic"
verification = "bearer"
header = "Authorization"
survey_id = "s"
scores = [{ question = "nps", metric = "nps" }]
"""


def test_a_header_value_with_a_space_is_one_secret() -> None:
    """Half of it opened the door once."""
    first, second = "Basic dXNlcjpwYXNz", "Token of the next year"
    names = {"NPSFLOW_SECRET_KOBO": first, "NPSFLOW_SECRET_KOBO_NEXT": second}
    endpoint = signed(parse(KOBO), names)["kobo"]
    for value in (first, second):
        endpoint.verify(Delivery({"authorization": value}, b""), 0.0)
    for value in (*first.split(), *second.split(), f"{first} {second}", ""):
        with pytest.raises(Forged):
            endpoint.verify(Delivery({"authorization": value}, b""), 0.0)


@pytest.mark.parametrize("value", ["", "  ", "Basic", "Bearer", "token"])
def test_intake_does_not_start_with_what_is_no_secret(tmp_path: Path, value: str) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text(KOBO)
    result = CliRunner().invoke(main, ["intake"], env={"NPSFLOW_CONFIG": str(config), "NPSFLOW_SECRET_KOBO": value})
    assert result.exit_code == 2
    assert "NPSFLOW_SECRET_KOBO" in result.stderr


@pytest.mark.parametrize("name", ["kobo-next", "board-next"])
def test_no_entrance_has_the_secret_that_replaces_another(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"intake\.{name}: NPSFLOW_SECRET_.*_NEXT"):
        parse(KOBO.replace("kobo", name))
    with pytest.raises(SettingsError, match=r"notify\.desk-next: NPSFLOW_SECRET_.*_NEXT"):
        parse('[notify.desk-next]\nkind = "console"')
