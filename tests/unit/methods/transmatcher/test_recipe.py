from pathlib import Path
from typing import Any

import pytest

from reid.errors import ParamsError
from reid.methods.registry import load_recipe
from reid.methods.transmatcher import TransMatcherRecipe

FOLDER = Path(__file__).parents[4] / "params/methods/transmatcher"
PUBLISHED = ["market1501", "msmt17", "randperson"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    assert isinstance(recipe, TransMatcherRecipe)
    assert recipe.grid == (24, 8)
    assert (recipe.image.mean, recipe.image.std) == ((0, 0, 0), (1, 1, 1))
    model, optimiser, schedule = recipe.model, recipe.optimiser, recipe.schedule
    assert model == TransMatcherRecipe(optimiser=optimiser).model  # the defaults are the published
    assert (model.width, model.encoders, model.ibn) == (512, 2, "b")
    assert (optimiser.learning_rate, optimiser.backbone_factor, optimiser.clip) == (0.005, 0.1, 4)
    assert optimiser.nesterov
    assert (schedule.epochs, schedule.milestones) == (
        (4, (2,)) if name == "randperson" else (15, (10,))
    )
    assert recipe.sampler.identities * recipe.sampler.images == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"backbone": "resnet51"}}, "one of resnet18, .*did you mean 'resnet5"),
        (
            {"model": {"final_layer": "layer4", "backbone": {"planes": [8, 8], "blocks": [1, 1]}}},
            "a final_layer among the 2 of the backbone",
        ),
        ({"model": {"backbone": "resnet152"}}, "ibn none for resnet152"),
        ({"model": {"heads": 3}}, "a number of heads that divides 512 channels"),
        ({"model": {"neck": 0, "heads": 3}}, "a number of heads that divides 1024 channels"),
        ({"model": {"prior": False, "symmetric_prior": True}}, "prior true for symmetric_prior"),
        ({"model": {"layers": 1, "position": True}}, "an encoder of single images for position"),
        ({"model": {"matching": "cat", "position": True}}, "an encoder of single images"),
        ({"model": {"matching": "vit", "pooling": "mean"}}, "matching maximum for another prior"),
        ({"model": {"matching": "max"}}, "'model.matching' is 'max'"),
        ({"embed_flip": True}, "embed_flip false, as maps of two images cannot be added"),
        ({"loss": {"margin": 0}}, "'loss.margin' is 0"),
    ],
)
def test_impossible_recipes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_recipe(FOLDER / "market1501.yaml", changes)


def test_sizes_by_hand() -> None:
    sizes = {"stem": 8, "planes": [4, 8, 12], "blocks": [1, 2, 1], "basic": True}
    recipe = load_recipe(
        FOLDER / "smoke.yaml",
        {
            "image": {"height": 50, "width": 33},
            "model": {"backbone": sizes, "final_layer": "layer3"},
        },
    )
    assert isinstance(recipe, TransMatcherRecipe)
    assert recipe.grid == (4, 3)
    assert recipe.model.backbone.channels(3) == 12
