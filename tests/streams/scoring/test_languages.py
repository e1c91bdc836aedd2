"""Which language is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.streams.scoring.languages import language_code, main_language
from npsflow.streams.scoring.questions import in_language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nl", "nl"), ("NL", "NL"), ("nl-BE", "nl-BE"), ("en_GB", "en_GB"), ("zh-Hant-TW", "zh-Hant-TW"), ("nld", "nl"),
        ("dut", "nl"), ("ger-AT", "de-AT"), ("fil", "fil"), ("nl_NL.UTF-8", "nl_NL"), (" de ", "de"),
        ("Dutch", "nl"), ("nederlands", "nl"), ("Deutsch", "de"), ("German", "de"), ("English (UK)", "en"),
        ("Português - Brasil", "pt"), ("FRANÇAIS", "fr"),
        ("default", None), ("und", None), ("mul", None), ("zxx", None), ("unknown", None), ("Klingon", None),
        ("", None), (None, None),
        ("1", None), ("deutlich", None), ("d", None),
    ],
)  # fmt: skip
def test_a_language_has_a_code_or_is_unknown(text: str | None, code: str | None) -> None:
    assert language_code(text) == code


@pytest.mark.parametrize(
    ("language", "asked"),
    [
        ("default", "en"), ("deutsch", "de"), ("de-AT", "de"), ("DE", "de"), ("dense", "en"), ("fil", "en"),
        ("Dutch", "nl"), (None, "en"),
    ],
)  # fmt: skip
def test_nobody_is_asked_in_a_language_that_is_not_theirs(language: str | None, asked: str) -> None:
    assert in_language({"en": "en", "de": "de", "nl": "nl", "fi": "fi"}, language) == asked


@given(st.text(max_size=20))
def test_any_text_is_a_language_or_none(text: str) -> None:
    assert (main_language(text) is None) == (language_code(text) is None)
