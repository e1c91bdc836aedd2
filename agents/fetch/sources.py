"""Where responses are fetched from: of each entrance its platform's API, and the token that opens it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from npsflow.agents import platforms
from npsflow.agents.intake.api import Answers, Api
from npsflow.agents.intake.entrance import Entrance, environment_name, unsigned
from npsflow.schemas.errors import SettingsError
from npsflow.streams.intake.mapping import FormMapping

_TOKEN = "NPSFLOW_TOKEN_"


@dataclass(frozen=True)
class Source:
    """One entrance: what its form means, how its platform hands out answers, and where."""

    entrance: Entrance
    answers: Answers
    api: Api


def sources(
    configured: Mapping[str, FormMapping],
    environment: Mapping[str, str],
    session: aiohttp.ClientSession,
    clock: Callable[[], float],
) -> dict[str, Source]:
    """Those of the settings whose platform hands out answers, by name. Raises SettingsError for a missing token."""
    found = {}
    for name, entrance in unsigned(configured, environment).items():
        if (answers := platforms.named(entrance.form.platform).answers) is None:
            continue
        variable = environment_name(_TOKEN, name)
        if not (token := environment.get(variable, "").strip()):
            raise SettingsError(f"intake.{name} has no token: set {variable}, or @ and a file that holds it")
        if not (base := entrance.form.api or answers.base):
            raise SettingsError(f"intake.{name}: say in `api` where {entrance.form.platform} answers for your account")
        per_minute = entrance.form.api_per_minute or answers.per_minute
        found[name] = Source(entrance, answers, Api(session, answers, base, per_minute, partial(_read, token), clock))
    return found


def _read(token: str) -> str:
    """The token, or what now stands in its file: something else may renew it. Raises OSError."""
    return Path(token[1:]).read_text("utf-8").strip() if token.startswith("@") else token
