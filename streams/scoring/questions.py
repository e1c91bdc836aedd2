"""Texts that customers are asked in, by language."""

from collections.abc import Mapping

from npsflow.streams.scoring.languages import main_language

OPEN_QUESTIONS = {
    "en": "What is the most important reason for your score?",
    "nl": "Wat is de belangrijkste reden voor uw score?",
}


def in_language(texts: Mapping[str, str], language: str | None) -> str:
    """The text of `language`, as nl, en-GB or Dutch, where there is one, else the English one."""
    return texts.get(main_language(language) or "en", texts["en"])
