"""`npsflow intake try`, and what becomes of webhooks that nobody understood when they came."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.cli import main
from npsflow.agents.intake.endpoint import signed, unsigned
from npsflow.agents.intake.mapping_faults import mapping_faults
from npsflow.agents.platforms.protocol import Delivery, Forged
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.headers import DeadLetter, Headers
from npsflow.schemas.topics import DEAD_LETTERS, RESPONSES
from npsflow.streams.config.settings import parse
from tests.agents.platforms.conformance import FIXTURES
from tests.agents.platforms.signing import SECRET, wootric
from tests.broker.command_harness import CommandHarness
from tests.support.waiting import wait_until

from .serving import records, serving
from .serving import signed as intake_signed

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

    assert harness.run("dlq", "replay").exit_code == 0  # the mapping is still missing: the letter stays where it is
    assert (len(harness.records(DEAD_LETTERS)), harness.records(RESPONSES)) == (1, [])

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


def test_a_blank_key_of_pseudonyms_is_refused() -> None:
    names = {"NPSFLOW_SECRET_KOBO": "a secret of words", "NPSFLOW_SECRET_CUSTOMERS": " "}
    with pytest.raises(SettingsError, match="NPSFLOW_SECRET_CUSTOMERS is blank"):
        signed(parse(KOBO), names)


@pytest.mark.parametrize("name", ["kobo-next", "board-next"])
def test_no_entrance_has_the_secret_that_replaces_another(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"intake\.{name}: NPSFLOW_SECRET_.*_NEXT"):
        parse(KOBO.replace("kobo", name))
    with pytest.raises(SettingsError, match=r"notify\.desk-next: NPSFLOW_SECRET_.*_NEXT"):
        parse('[notify.desk-next]\nkind = "console"')


FORMBRICKS = """
[intake.shop]
platform = "formbricks"
comment = ["answers.why"]
scores = [{ question = "answers.nps", metric = "nps" }, { question = "answers.stars", metric = "csat" }]
fields = { "customer.id" = "contact.userIdd", channel = "meta.source", language = "language" }
drivers = { "answers.speed" = "delivery" }
"""
SENT: dict[str, Any] = {
    "event": "responseFinished",
    "data": {
        "id": "r1",
        "surveyId": "s1",
        "createdAt": "2026-03-01T15:02:11Z",
        "data": {"nps": 2, "why": "late", "speed": "slow"},
        "contact": {"userId": "C-77"},
        "meta": {"source": "Web"},
        "language": "nl",
    },
}
GENERIC = '[intake.shop]\nplatform = "generic"\nscores = [{ question = "score", metric = "nps" }]\n'


def tried_with(folder: Path, settings: str, body: object) -> Result:
    (folder / "npsflow.toml").write_text(settings)
    (folder / "body").write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return CliRunner().invoke(
        main, ["intake", "try", "shop", str(folder / "body")], env={"NPSFLOW_CONFIG": str(folder / "npsflow.toml")}
    )


def test_try_names_paths_that_found_nothing_and_what_each_value_became(tmp_path: Path) -> None:
    result = tried_with(tmp_path, FORMBRICKS, SENT)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["score"] == 2
    lines = result.stderr.splitlines()
    assert lines[:9] == [
        "formbricks/r1:nps: accepted",
        "scores = answers.nps: number 2 -> number 2",
        "scores = answers.stars: found nothing",
        'comment = answers.why: text "late" -> text "late"',
        "fields.customer.id = contact.userIdd: found nothing",
        'fields.channel = meta.source: text "Web" -> text "Web"',
        'fields.language = language: text "nl" -> text "nl"',
        'drivers = answers.speed: text "slow" -> text "slow"',
        "paths that are there:",
    ]
    assert lines[9:13] == [
        "  answers.nps: number 2",
        '  answers.why: text "late"',
        '  answers.speed: text "slow"',
        '  contact.userId: text "C-77"',
    ]


@pytest.mark.parametrize(
    ("settings", "body", "status", "message"),
    [
        (FORMBRICKS, SENT | {"data": SENT["data"] | {"data": {"rating": 2}}}, 1, "no score question is in it"),
        (FORMBRICKS, SENT | {"data": SENT["data"] | {"data": {"nps": 12}}}, 1, "score_out_of_range"),
        (FORMBRICKS, SENT | {"event": "responseCreated", "data": SENT["data"] | {"data": {}}}, 0, "nothing: no score"),
        (FORMBRICKS, {"event": "surveyPublished"}, 0, "nothing: it is an event that this entrance does not want"),
        (FORMBRICKS, {"event": "testEndpoint"}, 0, "nothing: it is the platform's test"),
        (FORMBRICKS, b"no JSON", 1, "there are no paths: the body is no JSON object"),
        (GENERIC, {"response_id": 1, "at": 5, "score": 3, "form": "f"}, 1, "unmapped`: submitted_at is missing"),
        (GENERIC, {"response_id": 1, "at": 5, "score": 3, "form": "f"}, 1, "  at: number 5\n"),
        (GENERIC, {"response_id": 1, "submitted_at": "x", "score": 3, "form": "f"}, 1, "`unmapped`: "),
        (GENERIC, {"response_id": 1, "submitted_at": "2026-03-01T15:02:11Z", "score": 3}, 1, "set survey_id"),
    ],
)  # fmt: skip
def test_try_ends_with_1_for_what_would_be_kept_as_unmapped(
    tmp_path: Path, settings: str, body: object, status: int, message: str
) -> None:
    result = tried_with(tmp_path, settings, body)
    assert (result.exit_code, message in result.stderr) == (status, True), result.output


def test_try_steers_no_terminal(tmp_path: Path) -> None:
    body = {"response_id": 1, "\x1b[31mred": "\x1b[2Jgone\n" + "x" * 500}
    result = tried_with(tmp_path, GENERIC, body)
    assert "\x1b" not in result.output
    assert "x" * 60 not in result.output


# What `check` says of mappings.


@dataclass
class Kept:
    """A record as `mapping_faults` looks at it."""

    value: bytes | None
    headers: Headers = field(default_factory=list)
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


def faults(settings: str, responses: Sequence[object], letters: Sequence[Kept] = ()) -> list[str]:
    endpoints = unsigned(parse(settings), {}).values()
    return [text for text, _ in mapping_faults(endpoints, [Kept(json.dumps(r).encode()) for r in responses], letters)]


def letter(body: bytes, entrance: str = "shop", **more: str) -> Kept:
    why = DeadLetter("unmapped", "as it was then", f"intake/{entrance}", 0, 0, "2026-03-01T15:02:11Z")
    return Kept(body, why.headers([(name.replace("_", "-"), value.encode()) for name, value in more.items()]))


def test_check_names_paths_that_never_found_anything() -> None:
    response = {"source": "formbricks", "survey_id": "s1", "comment": "late", "channel": "web"}
    both = [response | {"response_id": f"{number}:{name}"} for number in range(10) for name in ("nps", "stars")]
    others: list[Any] = [{"source": "typeform", "customer": {"id": "C-77"}, "language": "nl"}, None, [], "text"]
    assert faults(FORMBRICKS, [*both[:-1], *others]) == []  # too few to tell
    assert faults(FORMBRICKS, [*both, *others]) == [
        "mappings: intake.shop: fields.customer.id = contact.userIdd found nothing in the last 20 bodies",
        "mappings: intake.shop: fields.language = language found nothing in the last 20 bodies",
        "mappings: intake.shop: drivers = answers.speed found nothing in the last 20 bodies",
    ]
    for_another_survey = FORMBRICKS.replace('"formbricks"\n', '"formbricks"\nforms = ["s2"]\n')
    assert faults(for_another_survey, both) == []


def test_check_counts_what_is_still_not_understood() -> None:
    bad = SENT | {"data": SENT["data"] | {"data": {"rating": 2}}}
    letters = [letter(json.dumps(body).encode()) for body in (SENT, bad, bad)] + [letter(b"{"), letter(b"{", "other")]
    (text,) = faults(FORMBRICKS, [], letters)
    assert text == "mappings: intake.shop does not understand 3 of the newest bodies: the body is not JSON"
    assert faults(FORMBRICKS.replace("answers.nps", "answers.rating"), [], letters[1:3]) == []


async def test_what_was_not_understood_is_replayed_after_the_mapping_is_mended(broker: Broker, tmp_path: Path) -> None:
    """From the webhook to the response, a form-encoded one too."""
    harness = CommandHarness(broker, "intake-mended.", tmp_path)
    assert (await asyncio.to_thread(harness.run, "topics", "create")).exit_code == 0
    encoded = (FIXTURES / "wootric" / "encoded.txt").read_bytes().strip()
    settings = FORMBRICKS.replace("answers.stars", "answers.also") + WOOTRIC
    secrets = {"NPSFLOW_SECRET_SHOP": SECRET, "NPSFLOW_SECRET_MODES": SECRET}
    broken = settings.replace("answers.nps", "answers.rating").replace("response.score", "response.points")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with serving(harness.installation, endpoints=signed(parse(broken), secrets)) as intake:
        async with intake.client.post("/in/shop", **intake_signed(json.dumps(SENT).encode())) as answer:
            assert answer.status == 202
        headers = wootric(encoded, SECRET, 0) | form
        async with intake.client.post("/in/modes", data=encoded, headers=headers) as answer:
            assert answer.status == 202
    harness.config.write_text(broken)
    assert (await asyncio.to_thread(harness.run, "dlq", "replay", "--reason", "unmapped")).exit_code == 0
    assert await records(harness.installation, RESPONSES) == []
    harness.config.write_text(settings)
    assert (await asyncio.to_thread(harness.run, "dlq", "replay", "--reason", "unmapped")).exit_code == 0
    found = {record.key: json.loads(record.value or b"") for record in await records(harness.installation, RESPONSES)}
    assert {key: response["score"] for key, response in found.items()} == {b"formbricks/r1:nps": 2, b"wootric/1128": 7}


WOOTRIC = """
[intake.modes]
platform = "wootric"
scores = [{ question = "response.score", metric = "nps" }]
"""


def test_check_names_the_mistakes_of_every_entrance_and_notifier(tmp_path: Path) -> None:
    config = tmp_path / "npsflow.toml"
    config.write_text("""
[intake.a]
platform = "paper"
[intake.b]
platform = "formbricks"
verification = "bearer"
[notify.desk]
kind = "webhook"
""")
    result = CliRunner().invoke(main, ["check"], env={"NPSFLOW_CONFIG": str(config), "NPSFLOW_BROKERS": "127.0.0.1:1"})
    lines = [line.partition(": ")[2].partition(":")[0] for line in result.stdout.splitlines()]
    assert (result.exit_code, lines) == (1, ["intake.a", "intake.b", "notify.desk"])
