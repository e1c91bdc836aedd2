"""Where responses are fetched from: for each entrance its platform's API, and the token for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from npsflow.agents import platforms
from npsflow.agents.fetch.api import HttpApi
from npsflow.agents.platforms.protocol import Answers
from npsflow.agents.runtime.secrets import SecretMissing
from npsflow.schemas.errors import SettingsError
from npsflow.streams.intake.entrance import Entrance, configured_entrance, variable
from npsflow.streams.intake.mapping import FormMapping, Submission


@dataclass(frozen=True)
class Source:
    """One entrance, and how its answers are fetched."""

    entrance: Entrance
    answers: Answers
    api: HttpApi

    async def fetch(self, ids: Mapping[str, str]) -> list[Submission]:
        """All submissions that the ids of a FetchRequest stand for. Raises FetchError."""
        return await self.answers.fetch(self.api, ids)


def sources(
    configured: Mapping[str, FormMapping],
    environment: Mapping[str, str],
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> dict[str, Source]:
    """Those entrances whose platform has answers to fetch, by name.

    Raises SettingsError for an unknown platform, a missing token or a missing address.
    """
    found = {}
    for name, token in read_tokens(configured, environment).items():
        form = configured[name]
        answers = platforms.by_name(form.platform).answers
        assert answers is not None  # it has a token
        if not (base := form.api or answers.base):
            raise SettingsError(f"intake.{name}: say in `api` where {form.platform} answers for your account")
        per_minute = form.api_per_minute or answers.per_minute
        api = HttpApi(session, answers, base, per_minute, partial(_read, token), clock=clock)
        found[name] = Source(configured_entrance(name, form, environment), answers, api)
    return found


def read_tokens(configured: Mapping[str, FormMapping], environment: Mapping[str, str]) -> dict[str, str]:
    """The tokens of those entrances whose platform has answers to fetch. Raises SettingsError as `sources`."""
    tokens = dict[str, str]()
    for name, platform in platforms.with_webhook(configured).items():
        variable_name = variable("NPSFLOW_TOKEN_", name)
        if platform.answers is not None and not tokens.setdefault(name, environment.get(variable_name, "").strip()):
            text = f"intake.{name} has no token: set {variable_name}, or @ and a file that holds it"
            raise SecretMissing(text, variable_name)
    return tokens


def _read(token: str) -> str:
    """The token, or the present content of its file, which something else may renew. Raises OSError."""
    return Path(token[1:]).read_text("utf-8").strip() if token.startswith("@") else token
