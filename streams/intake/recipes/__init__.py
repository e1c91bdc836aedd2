"""Settings of the generic platform that ship: `platform = "tally"` stands for those in `tally.toml`.

A recipe is an `[intake.NAME]` without what is the user's own: questions, secrets. What the user sets goes before it.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


@cache
def names() -> tuple[str, ...]:
    """All recipes, sorted."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def completed(mapping: Any) -> Any:
    """An `[intake.NAME]` as it is written, with what its platform's recipe adds; itself where there is no recipe.

    Tables are joined key by key; of a path, a list or a value the user's own stands alone. Another `verification`
    leaves the recipe's `signature` out.
    """
    if not isinstance(mapping, Mapping) or mapping.get("platform") not in names():
        return mapping
    text = resources.files(__name__).joinpath(f"{mapping['platform']}.toml").read_text("utf-8")
    recipe = tomllib.loads(text)
    if mapping.get("verification", "signature") != "signature":
        recipe.pop("signature", None)
    both = {name for name in recipe.keys() & mapping.keys() if isinstance(recipe[name], dict)}
    joined = {name: recipe[name] | mapping[name] for name in both if isinstance(mapping[name], dict)}
    return recipe | dict(mapping) | joined
