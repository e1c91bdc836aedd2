"""Tokens that stand for personal texts: `npsflow.sealed.1:KEY:CONTENT`. Who has the key opens them (agents/sealing/).

To everybody else, stages included, a token is a text like any other, only that nobody may cut it.
"""

import re

from npsflow.schemas.response import MAX_COMMENT

MARK = "npsflow.sealed.1:"
KEY_ID = 16  # characters
MAX_TOKEN = len(MARK) + KEY_ID + 1 + (4 * MAX_COMMENT + 16) * 4 // 3 + 2
"""Characters of the longest token of a text that can be a comment: each of its characters may take four bytes."""

PATTERN = rf"{re.escape(MARK)}([A-Za-z0-9_-]{{{KEY_ID}}}):([A-Za-z0-9_-]{{22,}})"
"""A token anywhere in a text; its groups are the id of its key and its content. JSON writes a token as it is."""

_TOKEN = re.compile(PATTERN)


def is_sealed(text: str) -> bool:
    """Whether a text is one token and nothing else, not longer than a comment can make it."""
    return text.startswith(MARK) and len(text) <= MAX_TOKEN and _TOKEN.fullmatch(text) is not None
