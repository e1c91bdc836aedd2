"""A platform is added by one file and one folder, as CONTRIBUTING.md says: here is one that does not exist."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from npsflow.agents import platforms
from npsflow.agents.intake.delivery import Forged

from .conformance import Conformance
from .signing import Headers

MODULE = '''
"""Smileys: `smile` events, signed with HMAC-SHA512 in hex. Source: smileys.example.com/webhooks."""

from hashlib import sha512
from hmac import digest

from npsflow.agents.intake import times
from npsflow.agents.intake.delivery import Forged, Platform, json_object, part
from npsflow.agents.signatures import matches
from npsflow.streams.forms import Offered, Submission


def verify(delivery, form, secrets, now):
    given = delivery.headers.get("x-smile", "")
    if not matches(given, secrets, lambda secret: digest(secret.encode(), delivery.body, sha512).hex()):
        raise Forged("X-Smile is missing or wrong")


def parse(delivery, form):
    smile = part(json_object(delivery.body), "smile", dict)
    board, number = part(smile, "board", str), part(smile, "number", str)
    if "asked" in smile:
        yield Offered(board, number, times.of_seconds(smile["asked"]), smile)
    else:
        seen, changed = times.of_seconds(smile.get("seen")), times.of_seconds(smile.get("changed"))
        yield Submission(board, number, seen, changed, smile.get("state") == "gone", smile)


PLATFORM = Platform(verify, parse)
'''

FORM = """
platform = "smileys"
comment = ["words"]

[[scores]]
question = "face"
metric = "csat"
words = {frown = 1, smile = 5}

[fields]
"customer.id" = "card"
"customer.email" = "mail"
"""

SMILE = {"board": "desk", "number": "s-1", "seen": 1772377331, "face": "frown", "card": "C-1", "mail": "a@example.com"}
EXPECTED = {
    "source": "smileys", "response_id": "s-1", "survey_id": "desk", "metric": "csat", "score": 1,
    "submitted_at": "2026-03-01T15:02:11Z", "customer": {"id": "C-1", "email": "a@example.com"},
}  # fmt: skip
CHANGED = {"changed": 1772377391, "words": "No chairs."}
FOLDER = {
    "good.json": {"smile": SMILE | {"changed": None}},
    "expected.json": [EXPECTED],
    "updated.json": {"smile": SMILE | CHANGED},
    "deleted.json": {"smile": SMILE | {"state": "gone"}},
    "partial.json": {"smile": SMILE | {"face": None}},
    "offered.json": {"smile": {"board": "desk", "number": "s-1", "asked": 1772377300, "card": "C-1"}},
    "invitation.json": [
        {
            "invitation_id": "s-1", "source": "smileys", "survey_id": "desk",
            "sent_at": "2026-03-01T15:01:40Z", "customer": {"id": "C-1"},
        }
    ],
}  # fmt: skip


def sign(body: bytes, secret: str, now: float) -> Headers:
    return {"X-Smile": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()}


@pytest.fixture
def smileys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of its fixtures; its file is where the others are, as far as Python can tell."""
    (tmp_path / "smileys.py").write_text(MODULE)
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "form.toml").write_text(FORM)
    for name, content in FOLDER.items():
        (folder / name).write_text(json.dumps(content))
    monkeypatch.setattr(platforms, "__path__", [*platforms.__path__, str(tmp_path)])
    return folder


def test_a_file_and_a_folder_are_enough(smileys: Path) -> None:
    assert "smileys" in platforms.names()
    Conformance(smileys, sign, signs_a_time=False).conforms()


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("careless", 'raise Forged("X-Smile is missing or wrong")', "pass"),
        ("shouting", ".hex()", ".hex().upper()"),
        ("keeping", 'smile.get("state")', "None"),
        ("timeless", "seen, changed, ", "seen, None, "),
    ],
)
def test_the_suite_notices_what_is_wrong(smileys: Path, name: str, right: str, wrong: str) -> None:
    assert right in MODULE
    (smileys.parent / f"{name}.py").write_text(MODULE.replace(right, wrong))
    (smileys / "form.toml").write_text(FORM.replace('"smileys"', f'"{name}"\nsource = "smileys"'))
    with pytest.raises((AssertionError, pytest.fail.Exception, Forged)):
        Conformance(smileys, sign, signs_a_time=False).conforms()
