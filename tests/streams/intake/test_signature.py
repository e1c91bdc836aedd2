"""How a signature may be described: natural spellings of one scheme are one scheme."""

from typing import Any

import pytest

from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import parse
from npsflow.streams.intake.signature import Signature, spelled_out

OURS = """
verification = "signature"
[intake.x.signature]
header = "X-Sig"
prefix = "sha256="
signed = "{timestamp}.{body}"
timestamp = "X-Time"
"""
OTHERS = [
    OURS.replace('verification = "signature"\n', ""),
    OURS.replace('"{timestamp}.{body}"', '"timestamp.body"'),
    OURS.replace("signed", "over").replace("\ntimestamp", "\ntime"),
    'verification = { header = "X-Sig", prefix = "sha256=", signed = "timestamp.body", timestamp = "X-Time" }',
    'verification = { header = "X-Sig", prefix = "sha256=", over = "timestamp.body", time = "X-Time" }',
    OURS + 'algorithm = "sha256"\n',
]


def signature(text: str, platform: str = "generic") -> Signature | None:
    form = parse(f'[intake.x]\nplatform = "{platform}"\n{text}').intake["x"]
    assert form.verification == "signature"
    return form.signature


@pytest.mark.parametrize("other", OTHERS)
def test_natural_spellings_say_the_same(other: str) -> None:
    first, second = signature(OURS), signature(other)
    assert first is not None
    assert second is not None
    assert list(first.parts()) == list(second.parts())
    assert (second.header, second.timestamp, second.digest, second.prefix) == ("X-Sig", "X-Time", "sha256", "sha256=")


def test_a_signature_of_ones_own_takes_the_place_of_what_a_recipe_verifies_by() -> None:
    found = signature('verification = { header = "X-Relay" }', "jotform")
    assert found == Signature("X-Relay")
    joined = signature("signature = { tolerance = 60 }", "chatwoot")
    assert joined is not None
    assert (joined.header, joined.tolerance) == ("X-Chatwoot-Signature", 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('verification = { header = "X", hash = "sha1" }', "intake.x.signature: there is no key 'hash'"),
        ('verification = { header = "X", signed = "the time" }', "without {body} anybody could change it"),
        ('verification = { header = "X", signed = "timestamp.body" }', "timestamp has to be there"),
        ('verification = { header = "X", signed = "a", over = "body" }', "there is no key 'over'"),
        ('verification = { header = "X" }\nsignature = { header = "X" }', "verification: Expected `str`"),
        ("verification = 5", "verification: Expected `str`"),
    ],
)
def test_what_is_no_description_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        signature(text)
    assert message in str(refused.value)


@pytest.mark.parametrize("other", [None, [], "x", {"platform": "generic"}, {"signature": "x", "verification": "basic"}])
def test_what_holds_no_signature_stays(other: Any) -> None:
    assert spelled_out(other) == other


def test_words_in_a_text_with_braces_are_text() -> None:
    found = signature('verification = { header = "X", signed = "body:{body}" }')
    assert found is not None
    assert list(found.parts()) == [("body:", False), ("body", True), ("", False)]
