"""Texts that customers are asked in, by language."""

from collections.abc import Mapping

OPEN_QUESTIONS = {
    "en": "What is the most important reason for your score?",
    "nl": "Wat is de belangrijkste reden voor uw score?",
}


def in_language(texts: Mapping[str, str], language: str | None) -> str:
    """The text of `language`, as nl or en-GB, where there is one, else the English one."""
    return texts.get((language or "en")[:2].lower(), texts["en"])
