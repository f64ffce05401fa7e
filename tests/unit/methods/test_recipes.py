"""Every recipe that we ship loads and builds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reid.methods.base import DataFacts
from reid.methods.personvit import PersonVitRecipe
from reid.methods.registry import build_network, load_recipe
from reid.methods.reidmamba import ReidMambaRecipe
from reid.methods.transreid import TransReidRecipe
from reid.recipe import Recipe

FOLDER = Path(__file__).parents[3] / "params" / "methods"
RECIPES = sorted(FOLDER.glob("*/*.yaml"))
PUBLISHED = [p for p in RECIPES if p.parent.name == "transreid" and "_" in p.stem]
# The published network carries along a last block with its norm and a 1000-way classifier that
# never receive a gradient, like the five frozen biases of the necks, which ours keeps.
UPSTREAM, NEVER_TRAINED, FROZEN_BIASES = 103_590_376, 7_862_248, 5 * 768
PERSONVIT = [p for p in RECIPES if p.parent.name == "personvit" and "_" in p.stem]
REIDMAMBA = [p for p in RECIPES if p.parent.name == "reidmamba" and "_" in p.stem]
TRAINING_ALONE = {"optimiser", "schedule", "sampler", "augment", "pretrained"}
PERSONVIT_SMALL, PERSONVIT_UNUSED, PERSONVIT_BIAS = 22_313_704, 385_000, 384


def test_all_published_configurations_are_there() -> None:
    assert len(PUBLISHED) == 43
    assert len(PERSONVIT) == 18
    assert len(REIDMAMBA) == 18
    assert {path.stem for path in RECIPES} >= {"demo", "smoke", "market1501"}


@pytest.fixture(scope="module")
def uses_cameras() -> Callable[[Recipe], bool]:
    """Build the network of a recipe, once for all that differ in training alone."""
    built: dict[str, bool] = {}

    def build(recipe: Recipe) -> bool:
        key = json.dumps(recipe.model_dump(mode="json", exclude=TRAINING_ALONE))
        if key not in built:
            facts = DataFacts(num_classes=10, num_cameras=6, num_views=8)
            with torch.device("meta"):
                built[key] = build_network(recipe, facts).uses_cameras
        return built[key]

    return build


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_recipe_loads_and_builds(path: Path, uses_cameras: Callable[[Recipe], bool]) -> None:
    recipe = load_recipe(path)
    assert recipe.method == path.parent.name
    found = uses_cameras(recipe)
    if recipe.method in {"personvit", "reidmamba"}:
        assert found == (recipe.method == "reidmamba")
        return
    assert found == ("transreid" in path.stem or "sie" in path.stem) & (
        not path.stem.startswith(("vehicleid", "transformer"))
    ) or path.stem in {"demo", "smoke"}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_published_recipes_follow_their_name(path: Path) -> None:
    recipe = load_recipe(path)
    assert isinstance(recipe, TransReidRecipe)
    name, model = path.stem, recipe.model
    vehicles = name.startswith(("veri776", "vehicleid"))
    square = vehicles or name == "transformer_base"
    width = 256 if square else 128
    assert (recipe.image.height, recipe.image.width) == (384 if "384" in name else 256, width)
    star = 11 if name.startswith("occluded_duke") else 12
    assert model.strides == ((star, star) if "stride" in name else (16, 16))
    assert (model.jigsaw is not None) == ("transreid" in name or "jpm" in name)
    if model.jigsaw is not None:
        assert model.jigsaw.shift == (8 if vehicles else 5)
    assert model.side_information.view == (name.startswith("veri776") and "transreid" in name)
    assert recipe.augment.erase == (0.8 if "deit" in name or "small" in name else 0.5)
    assert (recipe.schedule.epochs, recipe.schedule.warmup_epochs) == (120, 5)
    assert recipe.optimiser.name == "sgd"


def test_parameter_count_of_the_published_model() -> None:
    recipe = load_recipe(FOLDER / "transreid" / "market1501_vit_transreid.yaml")
    with torch.device("meta"):
        network = build_network(recipe, DataFacts(num_classes=751, num_cameras=6, num_views=1))
    parameters = list(network.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    assert trained == UPSTREAM - NEVER_TRAINED
    assert sum(p.numel() for p in parameters) == trained + FROZEN_BIASES
    assert network.feature_size == 3840


@pytest.mark.parametrize("path", PERSONVIT, ids=lambda p: p.stem)
def test_recipes_of_personvit_follow_their_name(path: Path) -> None:
    recipe = load_recipe(path)
    assert isinstance(recipe, PersonVitRecipe)
    name, model = path.stem, recipe.model
    assert recipe.image.height == (384 if "384" in name else 256)
    assert model.backbone.embed == (768 if "base" in name else 384)
    assert model.stem == ("ics" in name)
    square = name.endswith("imagenet")
    assert model.pretrained_ratio == (1 if square else 2)
    assert recipe.optimiser.learning_rate == (
        0.008 if square else 0.0032 if name.endswith("ddp") else 0.0004
    )
    schedule = recipe.schedule
    assert (schedule.epochs, schedule.warmup_epochs, schedule.lag) == (120, 20, 1)
    assert recipe.optimiser.name == "sgd"
    assert model.pooling == "class"


def test_parameter_count_of_personvit() -> None:
    recipe = load_recipe(FOLDER / "personvit" / "market1501_vit_small.yaml")
    with torch.device("meta"):
        network = build_network(recipe, DataFacts(num_classes=751, num_cameras=6, num_views=1))
    assert sum(p.numel() for p in network.parameters()) == PERSONVIT_SMALL - PERSONVIT_UNUSED
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    assert frozen == PERSONVIT_BIAS


@pytest.mark.parametrize("path", REIDMAMBA, ids=lambda p: p.stem)
def test_recipes_of_reidmamba_follow_their_name(path: Path) -> None:
    recipe = load_recipe(path)
    assert isinstance(recipe, ReidMambaRecipe)
    name, model, schedule = path.stem, recipe.model, recipe.schedule
    assert recipe.image.height == (384 if "384" in name else 256)
    assert model.strides == ((12, 12) if "stride" in name else (16, 16))
    assert (model.backbone.embed, model.backbone.depth, model.tokens) == (384, 24, 12)
    assert recipe.loss.rank.weights(model.branches) == (1.0, 1.0)
    few, many = name.startswith("cuhk03"), name.startswith("msmt17")
    assert schedule.warmup_iterations == (1000 if few else 2500 if many else 1200)
    clips = {"cuhk03": 25, "msmt17": 30, "dukemtmcreid": 30}
    assert recipe.optimiser.clip == clips.get(name.split("_")[0], 10)
    assert (recipe.optimiser.learning_rate, recipe.optimiser.weight_decay) == (0.008, 0.0)
    assert (schedule.epochs, schedule.cosine_epochs) == (160, 155)
