"""TransReID: a vision transformer with side information and jigsaw patches (arXiv 2102.04378)."""

from reid.methods.base import Method
from reid.methods.transreid.network import TransReID, build
from reid.methods.transreid.recipe import TransReidRecipe
from reid.methods.transreid.weights import convert_checkpoint, load_pretrained, upstream_names

METHOD = Method(
    name="transreid",
    recipe=TransReidRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "TransReID", "TransReidRecipe", "upstream_names"]
