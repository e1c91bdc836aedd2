"""Secrets from the environment: one variable holds one secret, and a second variable its successor."""

import logging
from collections.abc import Mapping

from npsflow.schemas.errors import SettingsError

log = logging.getLogger(__name__)

_NEXT = "_NEXT"
_SHORT = 8
_SCHEMES = {"basic", "bearer", "token"}


class SecretMissing(SettingsError):
    """A process needs a secret that is not in its environment; `variable` names it."""

    def __init__(self, text: str, variable: str) -> None:
        super().__init__(text)
        self.variable = variable


def read_secrets(variable: str, environment: Mapping[str, str], *, ours: bool = False) -> list[str]:
    """The secret in `variable`, and the one in `variable` with `_NEXT` while it replaces the other; none is set: [].

    A secret is one secret, whatever blanks it holds; those around it are left out, as HTTP does. Raises SettingsError
    when a value cannot be a secret, or the second is set without the first. A short one is refused where it is `ours`
    to choose; else it may be all that a platform gives, and is logged.
    """
    first, second = (_secret(name, environment.get(name, ""), ours) for name in (variable, variable + _NEXT))
    if second and not first:
        raise SettingsError(f"{variable}{_NEXT} is set without {variable}, which holds until it is replaced")
    return [secret for secret in (first, second) if secret]


def _secret(name: str, value: str, ours: bool) -> str:
    secret = value.strip()
    if value and not secret:
        raise SettingsError(f"{name} is blank: set it to the secret")
    if secret.lower() in _SCHEMES:
        raise SettingsError(f"{name} holds the word for a kind of login and no secret: set it to the whole value")
    if 0 < len(secret) < _SHORT and ours:
        raise SettingsError(f"{name} can be guessed: set at least {_SHORT} characters, as `openssl rand -hex 16` gives")
    warn_if_short(name, secret)
    return secret


def warn_if_short(variable: str, secret: str) -> None:
    """Say in the log that a secret can be guessed, where it cannot be refused; one that is not set is none."""
    if 0 < len(secret) < _SHORT:
        log.warning("a secret is short and can be guessed", extra={"variable": variable})
