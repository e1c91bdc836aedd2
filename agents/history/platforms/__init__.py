"""One module for each platform whose exports can be imported; its name is what `--platform` says."""

from importlib import import_module
from pkgutil import iter_modules

from npsflow.agents.history.export import Export


def names() -> list[str]:
    """All platforms there are."""
    return sorted(module.name for module in iter_modules(__path__))


def named(name: str) -> Export:
    """The export of that platform; see `names`."""
    export: Export = import_module(f"{__name__}.{name}").EXPORT
    return export
