"""TransMatcher: pairs of images are scored from their maps (arXiv 2105.14432)."""

from reid.methods.base import Method
from reid.methods.transmatcher.network import TransMatcher, build
from reid.methods.transmatcher.recipe import TransMatcherRecipe
from reid.methods.transmatcher.weights import convert_checkpoint, load_pretrained

METHOD = Method(
    name="transmatcher",
    recipe=TransMatcherRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "TransMatcher", "TransMatcherRecipe"]
