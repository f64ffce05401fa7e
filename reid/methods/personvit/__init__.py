"""PersonViT: a plain vision transformer from self-supervised weights (arXiv 2408.05398)."""

from reid.methods.base import Method
from reid.methods.personvit.network import PersonVit, build
from reid.methods.personvit.recipe import PersonVitRecipe
from reid.methods.personvit.weights import convert_checkpoint, load_pretrained, upstream_names

METHOD = Method(
    name="personvit",
    recipe=PersonVitRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "PersonVit", "PersonVitRecipe", "upstream_names"]
