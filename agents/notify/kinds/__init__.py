"""The kinds of notifiers, a module each; `kind` in `[notify.NAME]` is the module's name."""

from importlib import import_module
from pkgutil import iter_modules

from npsflow.agents.notify.kind import Kind


def names() -> list[str]:
    """The names of all kinds."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Kind:
    """The kind of this name, which has to be one of `names`."""
    kind: Kind = import_module(f"{__name__}.{name}").KIND
    return kind
