"""One module, or one recipe, for each platform.

Its name is what `platform` says in `[intake.NAME]`, and `--platform` of an import.
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal

from npsflow.agents.platforms.protocol import Platform
from npsflow.schemas.errors import SettingsError
from npsflow.streams.intake import recipes
from npsflow.streams.intake.mapping import FormMapping

_SHARED = {"bodies", "fields", "protocol", "signing", "times", "webhook_bridge"}
_EVERYWHERE = {
    "platform", "scores", "source", "survey_id", "forms", "comment", "fields", "values", "drivers", "no_answer",
    "only", "deleted", "test",
}  # fmt: skip
"""Settings of `[intake.NAME]` that have an effect on every platform."""


def names() -> list[str]:
    """All platforms, sorted: modules and recipes."""
    modules = (module.name for module in iter_modules(__path__) if module.name not in _SHARED)
    return sorted((*modules, *recipes.names()))


def by_name(name: str) -> Platform:
    """The platform; `name` is one of `names`. A recipe is settings of the generic one."""
    module = "generic" if name in recipes.names() else name
    platform: Platform = import_module(f"{__name__}.{module}").PLATFORM
    return platform


def offering(part: Literal["webhook", "answers", "export"]) -> list[str]:
    """The names of all platforms that have this part, sorted."""
    return [name for name in names() if getattr(by_name(name), part) is not None]


def with_webhook(configured: Mapping[str, FormMapping]) -> dict[str, Platform]:
    """The platform of each `[intake.NAME]`, by its name; not of those that have exports only.

    Raises SettingsError for an unknown platform, and for a setting that has no effect on it.
    """
    known, platforms = names(), dict[str, Platform]()
    for name, form in configured.items():
        if form.platform not in known:
            there = ", ".join(offering("webhook"))
            raise SettingsError(f"intake.{name}: {form.platform!r} is not a platform; there are {there}")
        platform = by_name(form.platform)
        if idle := _without_effect(form, platform):
            raise SettingsError(f"intake.{name}: {idle} has no effect on {form.platform}: leave it out")
        if platform.webhook is not None:
            platforms[name] = platform
    return platforms


def _without_effect(form: FormMapping, platform: Platform) -> str:
    """The first setting that says something to which the platform does not listen, "" if there is none."""
    effective = _EVERYWHERE | set(platform.settings(form))
    if platform.answers is not None:
        effective |= {"api", "api_per_minute"}
    if platform.export is not None:
        effective |= {"columns"}
    default = FormMapping(form.platform)
    changed = (name for name in FormMapping.__struct_fields__ if getattr(form, name) != getattr(default, name))
    return next((name for name in changed if name not in effective), "")
