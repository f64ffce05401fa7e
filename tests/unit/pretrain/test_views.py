from pathlib import Path
from typing import Any

import pytest
import torch

from reid.data.samplers.shuffled import BatchPlan
from reid.errors import ParamsError
from reid.pretrain.distillation import Views
from reid.pretrain.draws import draw
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.views import cut_views

FOLDER = Path(__file__).parents[3] / "params" / "pretrain"


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(FOLDER / "smoke.yaml", changes)


PLAN = BatchPlan(epoch=0, step=3, indices=[0, 1, 2, 3], size=4, slots=slice(0, 4))


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8, generator=generator)


def views(made: PretrainRecipe, plan: BatchPlan = PLAN, seed: int = 0) -> Views:
    return cut_views(images()[plan.slots], draw(made, plan, seed), made.views)


def test_shapes() -> None:
    found = views(recipe())
    assert found.global_crops.shape == (2, 4, 3, 64, 32)
    assert found.local_crops.shape == (2, 4, 3, 32, 16)
    assert found.mask.shape == (2, 4, 8, 4)
    assert found.mask.any()
    none = views(recipe(views={"local_crops": 0}))
    assert none.local_crops.shape == (0, 4, 3, 32, 16)


def test_crops_are_normalised_and_all_different() -> None:
    found = views(recipe())
    assert float(found.global_crops.min()) >= -0.485 / 0.229 - 1e-4
    assert float(found.global_crops.max()) <= (1 - 0.406) / 0.225 + 1e-4
    assert not torch.equal(found.global_crops[0], found.global_crops[1])
    assert not torch.equal(found.local_crops[0], found.local_crops[1])


def test_without_weight_no_patch_is_masked() -> None:
    assert not views(recipe(loss={"lambda2": 0})).mask.any()


def test_the_given_images_are_left_alone() -> None:
    given = images()
    cut_views(given, draw(recipe(), PLAN, 0), recipe().views)
    assert torch.equal(given, images())


def test_seed_epoch_and_step_decide() -> None:
    first = views(recipe())
    assert all(torch.equal(a, b) for a, b in zip(first, views(recipe()), strict=True))
    for other in (
        views(recipe(), seed=1),
        views(recipe(), PLAN._replace(epoch=1)),
        views(recipe(), PLAN._replace(step=4)),
    ):
        assert not torch.equal(first.global_crops, other.global_crops)
        assert not torch.equal(first.mask, other.mask)


def test_processes_share_what_one_would_draw() -> None:
    whole = views(recipe())
    halves = [
        views(recipe(), PLAN._replace(indices=PLAN.indices[part], slots=part))
        for part in (slice(0, 2), slice(2, 4))
    ]
    for name in Views._fields:
        both = torch.cat([getattr(half, name) for half in halves], dim=1)
        torch.testing.assert_close(both, getattr(whole, name), rtol=0, atol=1e-6)


def test_changes_come_with_their_probability() -> None:
    many = PLAN._replace(indices=list(range(500)), size=500, slots=slice(0, 500))
    found = draw(recipe(), many, 0)
    for name, rate in (("flip", 0.5), ("jitter", 0.8), ("grey", 0.2)):
        assert abs(float(getattr(found.local_crops, name).float().mean()) - rate) < 0.06
    rates = torch.stack([found.global_crops.blur, found.global_crops.solarise]).float().mean(dim=2)
    assert (rates - torch.tensor([[1.0, 0.1], [0.0, 0.2]])).abs().max() < 0.06
    assert abs(float(found.local_crops.blur.float().mean()) - 0.5) < 0.06
    gains = found.local_crops.gains - 1
    largest = torch.tensor([0.4, 0.4, 0.2])
    assert (gains.abs().amax(dim=(0, 1)) <= largest).all()
    assert (gains.abs().amax(dim=(0, 1)) > 0.9 * largest).all()
    weak = draw(recipe(views={"jitter": 0.5, "grey": 0.0}), many, 0).local_crops
    torch.testing.assert_close(weak.gains - 1, gains / 2)
    assert not weak.grey.any()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_load(path: Path) -> None:
    loaded = load_pretrain_recipe(path)
    assert loaded.head.frozen_gain == (path.stem == "vit_base")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": {"aspects": [1, 2]}}, r"unknown key 'views\.aspects' .*'aspect'"),
        ({"views": {"aspect": [0.6, 0.5]}}, "aspect as a smaller and a larger number above 0"),
        ({"views": {"local_scale": [0.5, 1.5]}}, "local_scale as a smaller and a larger"),
        ({"loss": {"lambda1": 0, "lambda2": 0}}, "lambda1 or lambda2 above 0"),
        ({"model": {"backbone": "vit_smal"}}, "did you mean 'vit_small'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        recipe(**changes)
