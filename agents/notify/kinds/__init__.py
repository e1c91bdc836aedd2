"""One module for each kind of notifier; its name is what `kind` says in `[notify.NAME]`."""

from importlib import import_module
from pkgutil import iter_modules

from npsflow.agents.notify.kind import Kind


def names() -> list[str]:
    """All kinds there are."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Kind:
    """The kind of that name; see `names`."""
    kind: Kind = import_module(f"{__name__}.{name}").KIND
    return kind
