"""One module for each platform; its name is what `platform` says in `[intake.NAME]`."""

from importlib import import_module
from pkgutil import iter_modules

from npsflow.agents.intake.delivery import Platform

ONLY_EXPORTS = frozenset({"delighted"})
"""Platforms that send nothing any more: their `[intake.NAME]` says what an export means, and is no entrance."""


def names() -> list[str]:
    """All platforms there are."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Platform:
    """The platform of that name; see `names`."""
    platform: Platform = import_module(f"{__name__}.{name}").PLATFORM
    return platform
