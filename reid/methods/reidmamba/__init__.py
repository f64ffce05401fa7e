"""ReIDMamba: a state-space backbone with branches of several granularities (arXiv 2511.07948)."""

from reid.methods.base import Method
from reid.methods.reidmamba.network import ReIDMamba, build
from reid.methods.reidmamba.recipe import ReidMambaRecipe
from reid.methods.reidmamba.weights import convert_checkpoint, load_pretrained, upstream_names

METHOD = Method(
    name="reidmamba",
    recipe=ReidMambaRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "ReIDMamba", "ReidMambaRecipe", "upstream_names"]
