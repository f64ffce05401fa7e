"""The methods by name.

The package of a method is imported when it is asked for: some bring libraries that take seconds.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from reid.errors import ParamsError
from reid.methods.base import DataFacts, EmbeddingNetwork, Method
from reid.params import merge, nearest, parse_params, read_yaml
from reid.recipe import Recipe

METHODS = ("bot", "transreid", "personvit", "reidmamba", "transmatcher", "idkl")
"""Names of the methods, each that of a package beside this file."""


def get_method(name: str) -> Method:
    """Return one of `METHODS`."""
    method: Method = import_module(f"reid.methods.{name}").METHOD
    return method


def find_method(name: object, source: str) -> Method:
    """Return a method by a name that somebody wrote.

    Args:
        source: Where the name was found, for the error message.

    Raises:
        ParamsError: No such method, naming the nearest.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ParamsError(
            f"{source}: method is {name!r}{nearest(str(name), METHODS)}",
            f"one of {', '.join(METHODS)}",
            "Correct the key `method`.",
        )
    return get_method(name)


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and lay `overrides` over it; its key `method` chooses the schema.

    Raises:
        ParamsError: The file, its method, a key or a value is wrong.
    """
    data = merge(read_yaml(path), overrides or {})
    method = find_method(data.get("method"), str(path))
    return parse_params(data, method.recipe, str(path))


def build_network(recipe: Recipe, facts: DataFacts) -> EmbeddingNetwork:
    """Make the network of a recipe with fresh weights."""
    return get_method(recipe.method).build(recipe, facts)
