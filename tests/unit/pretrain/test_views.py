from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from reid.errors import ParamsError
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.views import make_views

FOLDER = Path(__file__).parents[3] / "params" / "pretrain"


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(FOLDER / "smoke.yaml", changes)


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8, generator=generator)


def test_shapes() -> None:
    views = make_views(images(), recipe(), 0, Random(0))
    assert views.global_crops.shape == (2, 4, 3, 64, 32)
    assert views.local_crops.shape == (2, 4, 3, 32, 16)
    assert views.mask.shape == (2, 4, 8, 4)
    assert views.mask.any()
    none = make_views(images(), recipe(views={"local_crops": 0}), 0, Random(0))
    assert none.local_crops.shape == (0, 4, 3, 32, 16)


def test_crops_are_normalised_and_all_different() -> None:
    views = make_views(images(), recipe(), 0, Random(0))
    assert float(views.global_crops.min()) >= -0.485 / 0.229 - 1e-4
    assert float(views.global_crops.max()) <= (1 - 0.406) / 0.225 + 1e-4
    assert not torch.equal(views.global_crops[0], views.global_crops[1])
    assert not torch.equal(views.local_crops[0], views.local_crops[1])


def test_without_weight_no_patch_is_masked() -> None:
    assert not make_views(images(), recipe(loss={"lambda2": 0}), 0, Random(0)).mask.any()


def test_generators_decide() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(make_views(images(), recipe(), 0, Random(seed)))
    pairs = list(zip(drawn[0], drawn[1], strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(drawn[0].global_crops, drawn[2].global_crops)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_load(path: Path) -> None:
    loaded = load_pretrain_recipe(path)
    assert loaded.head.frozen_gain == (path.stem == "vit_base")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": {"aspects": [1, 2]}}, r"unknown key 'views\.aspects' .*'aspect'"),
        ({"views": {"aspect": [0.6, 0.5]}}, "aspect as a smaller and a larger share above 0"),
        ({"views": {"local_scale": [0.5, 1.5]}}, "local_scale as a smaller and a larger"),
        ({"loss": {"lambda1": 0, "lambda2": 0}}, "lambda1 or lambda2 above 0"),
        ({"model": {"backbone": "vit_smal"}}, "did you mean 'vit_small'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        recipe(**changes)
