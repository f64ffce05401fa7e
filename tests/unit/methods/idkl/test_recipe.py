from pathlib import Path
from typing import Any

import pytest
import yaml

from reid.errors import ParamsError
from reid.methods.idkl import IdklRecipe
from reid.methods.registry import load_recipe
from reid.nn.resnet import RESNETS
from tests.unit.methods.idkl.tiny import settings


def load(folder: Path, **changes: Any) -> IdklRecipe:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(settings()))
    made = load_recipe(file, changes)
    assert isinstance(made, IdklRecipe)
    return made


def test_the_defaults_are_those_of_the_published_code_for_a_batch_of_120() -> None:
    made = IdklRecipe.model_validate({"optimiser": {"learning_rate": 1e-3}})
    assert (made.image.height, made.image.width) == (384, 144)
    assert made.sampler.name == "cross_modal"
    assert made.sampler.identities * made.sampler.images == 120
    assert made.model.backbone == RESNETS["resnet50"]
    assert (made.model.last_stride, made.model.mask, made.model.mask_reduction) == (1, "map", 16)
    loss, weights = made.loss, made.loss.weights
    assert (loss.margin, loss.label_smoothing, loss.detach_teacher) == (1.3, 0.0, False)
    assert (loss.purification, loss.alignment) == ("code", "code")
    assert (weights.purifier, weights.graph_within, weights.logits_within) == (0.1, 0.6, 0.8)
    assert weights.grouped_within == 0.8


def test_the_confuser_is_that_of_the_paper() -> None:
    loss = IdklRecipe.model_validate({"optimiser": {"learning_rate": 1e-3}}).loss
    assert (loss.confuser, loss.reversal, loss.reversal_warmup) == ("grl", 1.0, False)


def test_names_of_backbones(tmp_path: Path) -> None:
    model = {"backbone": "resnet18", "mask_reduction": 16}
    assert load(tmp_path, model=model).model.backbone.channels(4) == 512


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"backbone": "resnet51"}}, "one of resnet18, .*did you mean 'resnet5"),
        (
            {"model": {"backbone": {"planes": [2, 2, 2], "blocks": [1, 1, 1]}}},
            "a backbone of four stages: two in front and two in each branch",
        ),
        ({"model": {"mask_reduction": 17}}, "a mask_reduction of at most the channels of the last"),
        ({"model": {"mask": "channel"}}, "'model.mask' is 'channel'.*'map' or 'pooled'"),
        ({"model": {"purifier": False}}, "loss.weights.purifier 0 with model.purifier false"),
        (
            {"model": {"last_stride": 2}, "image": {"height": 32}},
            "images larger than one cell of the last stage with model.purifier",
        ),
        (
            {"image": {"height": 16}},
            "images larger than one cell of the last stage with model.purifier",
        ),
        ({"loss": {"confuser": "none"}}, "weights.confuser 0 with confuser none, and with no"),
        ({"loss": {"weights": {"confuser": 0}}}, "weights.confuser 0 with confuser none"),
        ({"loss": {"confuser": "gradient"}}, "'loss.confuser' is 'gradient'.*'grl', 'rolled"),
        (
            {"loss": {"alignment": "paper"}},
            "weights 0 of graph_mixed, grouped_within and grouped_across with alignment paper",
        ),
        ({"loss": {"reversal": 0}}, "'loss.reversal' is 0"),
        ({"loss": {"weights": {"triplet": -1}}}, "'loss.weights.triplet' is -1"),
        (
            {"loss": {"weights": {"graph_accross": 0.5}}},
            r"unknown key 'loss.weights.graph_accross' \(did you mean 'graph_across'\?\)",
        ),
        (
            {"loss": {"wieghts": {"identity": 0.5}}},
            r"unknown key 'loss.wieghts' \(did you mean 'weights'\?\)",
        ),
        (
            {"sampler": {"name": "identity"}},
            "'sampler.name' is 'identity'; expected input should be 'cross_modal'. Correct",
        ),
        ({"sampler": {"images": 5}}, "an even number of images with the name cross_modal"),
    ],
)
def test_impossible_recipes(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        load(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_small_images_without_a_purifier(tmp_path: Path) -> None:
    """Nothing is normalised within a map of one cell then."""
    changes: dict[str, Any] = {"model": {"purifier": False}, "image": {"height": 16}}
    assert load(tmp_path, **changes, loss={"weights": {"purifier": 0}}).image.height == 16
