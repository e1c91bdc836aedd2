"""A platform is added by one file and one folder of fixtures: here is one that does not exist."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from npsflow.agents import platforms
from npsflow.agents.cli import main
from npsflow.agents.platforms.protocol import Forged

from .conformance import Conformance
from .exports import ExportConformance
from .signing import Headers

MODULE = '''
"""Smileys: `smile` events, signed with HMAC-SHA512 in hex. Source: smileys.example.com/webhooks."""

from datetime import UTC
from hashlib import sha512
from hmac import digest

from npsflow.agents.platforms import times
from npsflow.agents.platforms.fields import json_object, optional, required
from npsflow.agents.platforms.protocol import Answers, Export, Forged, Platform, Table, Transient, Webhook
from npsflow.agents.platforms.webhook_bridge import parse_as_webhook
from npsflow.agents.web.signatures import matches
from npsflow.streams.intake.mapping import FetchRequest, Offer, Submission


def verify(delivery, form, secrets, now):
    signature = delivery.headers.get("x-smile", "")
    if not matches(signature, secrets, lambda secret: digest(secret.encode(), delivery.body, sha512).hex()):
        raise Forged("X-Smile is missing or wrong")


def parse(delivery, form):
    smile = required(json_object(delivery.body), "smile", dict)
    board, number = required(smile, "board", str), required(smile, "number", str)
    if "asked" in smile:
        yield Offer(board, number, times.from_seconds(smile["asked"]), smile)
    elif "face" not in smile and smile.get("state") != "gone":
        yield FetchRequest(board, number, {"number": number})
    else:
        yield submission(board, number, smile)


async def fetch(api, ids):
    smile = optional(await api.get("smiles", ids.get("number", "")), "smile", dict)
    if "board" not in smile:
        raise Transient("it has no board")
    return [submission(smile["board"], ids["number"], smile)]


def submission(board, number, smile):
    seen, changed = times.from_seconds(smile.get("seen")), times.from_seconds(smile.get("changed"))
    return Submission(board, number, seen, changed, smile.get("state") == "gone", smile)


def items(fields, form, options):
    return parse_as_webhook(parse, {"smile": fields}, form)


TABLE = Table(
    response_id=["Number"], submitted_at=["Seen"], form=["Board"],
    paths={"face": "face", "words": "words", "card": "card", "mail": "mail"}, zone=lambda header: UTC,
)

PLATFORM = Platform(
    webhook=Webhook(verify, parse),
    answers=Answers("https://api.smileys.example.com", 60, fetch),
    export=Export(TABLE, items, lists=["smiles"]),
)
'''

FORM = """
platform = "smileys"
forms = ["desk"]
comment = ["words"]

[[scores]]
question = "face"
metric = "csat"
words = {frown = 1, smile = 5}

[fields]
"customer.id" = "card"
"customer.email" = "mail"
"""

EVENT = {"board": "desk", "number": "s-1", "seen": 1772377331}
SMILE = EVENT | {"face": "frown", "card": "C-1", "mail": "a@example.com"}
EXPECTED = {
    "source": "smileys", "response_id": "s-1", "survey_id": "desk", "metric": "csat", "score": 1,
    "submitted_at": "2026-03-01T15:02:11Z", "customer": {"id": "C-1", "email": "a@example.com"},
}  # fmt: skip
CHANGED = {"changed": 1772377391, "words": "No chairs."}
FETCH = {"entrance": "e", "event_id": "s-1", "ids": {"number": "s-1"}}
WITH_ANSWERS: dict[str, Any] = {
    "good.json": {"smile": SMILE | {"changed": None}},
    "expected.json": [EXPECTED],
    "updated.json": {"smile": SMILE | CHANGED},
    "deleted.json": {"smile": SMILE | {"state": "gone"}},
    "partial.json": {"smile": SMILE | {"face": None}},
    "asked.json": {"smile": EVENT},
    "fetch.json": [FETCH | {"asked_at": 1772377331000}],
    "offered.json": {"smile": {"board": "desk", "number": "s-1", "asked": 1772377300, "card": "C-1"}},
    "invitation.json": [
        {
            "invitation_id": "s-1", "source": "smileys", "survey_id": "desk",
            "sent_at": "2026-03-01T15:01:40Z", "customer": {"id": "C-1"},
        }
    ],
}  # fmt: skip
WITHOUT_ANSWERS: dict[str, Any] = {
    "good.json": {"smile": EVENT},
    "fetch.json": FETCH,
    "answers.json": {"smiles/s-1": {"smile": SMILE}},
    "updated_answers.json": {"smiles/s-1": {"smile": SMILE | CHANGED}},
    "expected.json": [EXPECTED],
}
EXPORT: dict[str, Any] = {
    "export.json": {"smiles": [SMILE]},
    "expected-json.json": [EXPECTED],
    "expected-csv.json": [EXPECTED],
    "webhook.json": {"smile": SMILE},
}
CSV = "Number,Board,Seen,Face,Words,Card,Mail\ns-1,desk,2026-03-01 15:02:11,frown,,C-1,a@example.com\n"


def sign(body: bytes, secret: str, now: float) -> Headers:
    return {"X-Smile": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()}


@pytest.fixture
def fixtures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of its fixtures; its file is where the others are, as far as Python can tell."""
    (tmp_path / "smileys.py").write_text(MODULE)
    folder = tmp_path / "fixtures"
    for name, files in (("", WITH_ANSWERS), ("fetched", WITHOUT_ANSWERS), ("export", EXPORT)):
        (folder / name).mkdir(parents=True)
        (folder / name / "form.toml").write_text(FORM)
        for file, content in files.items():
            (folder / name / file).write_text(json.dumps(content))
    (folder / "export" / "export.csv").write_text(CSV)
    monkeypatch.setattr(platforms, "__path__", [*platforms.__path__, str(tmp_path)])
    return folder


def conforms(fixtures: Path) -> None:
    Conformance(fixtures, sign, signs_a_time=False).conforms()
    Conformance(fixtures / "fetched", sign, signs_a_time=False).conforms()
    ExportConformance(fixtures / "export").conforms()


def test_a_file_and_a_folder_are_enough(fixtures: Path) -> None:
    conforms(fixtures)


def test_every_process_knows_it(fixtures: Path, tmp_path: Path) -> None:
    for part in ("webhook", "answers", "export"):
        assert "smileys" in platforms.offering(part)
    config = tmp_path / "npsflow.toml"
    config.write_text("[intake.desk]\n" + FORM.replace("[[", "[[intake.desk.").replace("\n[f", "\n[intake.desk.f"))
    arguments = ["intake", "try", "desk", str(fixtures / "good.json")]
    result = CliRunner().invoke(main, arguments, env={"NPSFLOW_CONFIG": str(config)})
    assert json.loads(result.stdout) == EXPECTED, result.output


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("careless", 'raise Forged("X-Smile is missing or wrong")', "pass"),
        ("shouting", ".hex()", ".hex().upper()"),
        ("keeping", 'smile.get("state") == "gone", smile', "False, smile"),
        ("timeless", "seen, changed, ", "seen, None, "),
        ("mute", 'return [submission(smile["board"], ids["number"], smile)]', "return []"),
        ("forgetful", '"card": "card", ', ""),
        ("displaced", '"mail": "mail"', '"mail": "post"'),
        ("renumbering", '{"smile": fields}', '{"smile": fields | {"number": "1"}}'),
    ],
)
def test_the_suites_notice_what_is_wrong(fixtures: Path, name: str, right: str, wrong: str) -> None:
    assert right in MODULE
    (fixtures.parent / f"{name}.py").write_text(MODULE.replace(right, wrong))
    for form in fixtures.glob("**/form.toml"):
        form.write_text(FORM.replace('"smileys"', f'"{name}"\nsource = "smileys"'))
    with pytest.raises((AssertionError, pytest.fail.Exception, Forged)):
        conforms(fixtures)
