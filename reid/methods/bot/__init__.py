"""Bag of tricks: a convolutional network, a batch-norm neck and two losses (arXiv 1903.07071)."""

from reid.methods.base import Method
from reid.methods.bot.network import BagOfTricks, build, convert_checkpoint, load_pretrained
from reid.methods.bot.recipe import BotRecipe

METHOD = Method(
    name="bot",
    recipe=BotRecipe,
    build=build,
    load_pretrained=load_pretrained,
    convert_checkpoint=convert_checkpoint,
)

__all__ = ["METHOD", "BagOfTricks", "BotRecipe"]
