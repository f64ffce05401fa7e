from typing import Any

import pytest
import torch

from reid.data.images import Batch
from reid.errors import ParamsError
from reid.losses.triplet import triplet_loss
from reid.methods.base import DataFacts
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe
from reid.methods.personvit.pooling import pool
from reid.params import parse_params


def network(loss: dict[str, Any] | None = None, **model: Any) -> PersonVit:
    torch.manual_seed(0)
    small = {"backbone": {"embed": 12, "depth": 2, "heads": 2}, "patch": 4, "stride": 4}
    recipe = PersonVitRecipe.model_validate(
        {
            "image": {"height": 32, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": {**small, "drop_path": 0.0, **model},
            "loss": loss or {},
        }
    )
    built = METHOD.build(recipe, DataFacts(3, 1, 1))
    assert isinstance(built, PersonVit)
    return built


def batch(size: int = 6) -> Batch:
    images = torch.randn(size, 3, 32, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(size) // 2 % 3
    return Batch(images, labels, labels * 0, labels * 0, labels * 0)


@pytest.mark.parametrize("model", [{}, {"stem": True, "patch": 16, "stride": 16}, {"reduction": 5}])
def test_every_trainable_weight_is_trained(model: dict[str, Any]) -> None:
    made = network(**model)
    losses = made.losses(batch())
    losses["loss"].backward()
    assert all(p.grad is not None for p in made.parameters() if p.requires_grad)
    assert [key for key, p in made.named_parameters() if not p.requires_grad] == ["neck.bias"]
    torch.testing.assert_close(losses["loss"], losses["identity"] + losses["triplet"])


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["class", "gem", "average", "maximum", "average_maximum"])
def test_one_image_keeps_its_dimension(pooling: str) -> None:
    made = network(pooling=pooling).eval()
    alone, many = made.embed(batch(1)), made.embed(batch())
    assert alone.shape == (1, 12)
    torch.testing.assert_close(alone, many[:1], rtol=1e-4, atol=1e-5)


def test_poolings_by_hand() -> None:
    tokens = torch.tensor([[5.0], [1.0], [2.0], [3.0], [-6.0], [7.0], [0.0], [0.0], [1.0]])[None]
    assert pool(tokens, "class").item() == 5
    assert pool(tokens, "average").item() == 1
    assert pool(tokens, "maximum").item() == 7
    assert pool(tokens, "average_maximum").item() == (3 + 7) / 2
    mean_cube = (1 + 8 + 27 + 343 + 1) / 8  # what is negative counts as next to nothing
    assert pool(tokens, "gem").item() == pytest.approx(5 + mean_cube ** (1 / 3), rel=1e-5)


def test_groups_must_be_whole() -> None:
    with pytest.raises(ParamsError, match="average_maximum of 6 patches; expected a multiple of 4"):
        pool(torch.zeros(1, 7, 2), "average_maximum")


@torch.no_grad()
def test_the_neck_of_the_embedding_can_be_chosen() -> None:
    before, after = (network(neck=neck).eval() for neck in ("before", "after"))
    for made in (before, after):
        made.neck.running_mean.fill_(0.5)
    torch.testing.assert_close(after.embed(batch()), after.neck(before.embed(batch())))


def test_the_triplet_loss_may_see_unit_features() -> None:
    made = network(loss={"normalised_triplet": True, "margin": 0.3})
    losses = made.losses(batch())
    features = made.features(batch().images)
    unit = features / features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(losses["triplet"], triplet_loss(unit, batch().labels, 0.3))
    assert not torch.allclose(losses["triplet"], triplet_loss(features, batch().labels, 0.3))


def test_dropout_acts_in_training_only() -> None:
    made = network(dropout=0.9)
    features = made.features(batch().images).detach()
    assert not torch.equal(made.score(features), made.score(features))
    made.eval()
    assert torch.equal(made.score(features), made.score(features))


def test_the_stem_has_one_patch_size() -> None:
    data = {"optimiser": {"learning_rate": 1}, "model": {"stem": True, "stride": 12}}
    with pytest.raises(ParamsError, match="patch and stride 16, the step of the stem"):
        parse_params(data, PersonVitRecipe, "r.yaml")
