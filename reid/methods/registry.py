"""The methods by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.errors import ParamsError
from reid.methods import bot, idkl, personvit, reidmamba, transmatcher, transreid
from reid.methods.base import DataFacts, EmbeddingNetwork, Method
from reid.params import merge, nearest, parse_params, read_yaml
from reid.recipe import Recipe

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        bot.METHOD,
        transreid.METHOD,
        personvit.METHOD,
        reidmamba.METHOD,
        transmatcher.METHOD,
        idkl.METHOD,
    )
}


def get_method(name: object, source: str) -> Method:
    """Return a method by name.

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
    return METHODS[name]


def load_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe and lay `overrides` over it; its key `method` chooses the schema.

    Raises:
        ParamsError: The file, its method, a key or a value is wrong.
    """
    data = merge(read_yaml(path), overrides or {})
    method = get_method(data.get("method"), str(path))
    return parse_params(data, method.recipe, str(path))


def build_network(recipe: Recipe, facts: DataFacts) -> EmbeddingNetwork:
    """Make the network of a recipe with fresh weights."""
    return METHODS[recipe.method].build(recipe, facts)
