import pytest
import torch
from torch import Tensor, nn

from reid.methods.idkl.purifier import Mask, Purifier
from reid.methods.idkl.recipe import ModelRecipe


def purifier(mask: str = "map") -> Purifier:
    torch.manual_seed(0)
    made = Purifier(8, ModelRecipe.model_validate({"mask": mask, "mask_reduction": 4}))
    with torch.no_grad():
        made.norm.weight.uniform_(0.5, 2)
        made.norm.bias.normal_()
    return made


def maps() -> Tensor:
    return torch.randn(3, 8, 4, 2, generator=torch.Generator().manual_seed(1))


def by_hand(mask: Mask, given: Tensor) -> Tensor:
    """A mask cell by cell."""
    first, second = (layer.weight[:, :, 0, 0] for layer in mask if isinstance(layer, nn.Conv2d))
    result = torch.empty_like(given)
    for image in range(len(given)):
        for row in range(given.shape[2]):
            for column in range(given.shape[3]):
                cell = given[image, :, row, column]
                if mask.pooled:
                    cell = given[image].flatten(1).mean(dim=1)
                result[image, :, row, column] = (second @ (first @ cell).relu()).sigmoid()
    return result


@torch.no_grad()
@pytest.mark.parametrize("mask", ["map", "pooled"])
def test_parts_are_their_definition(mask: str) -> None:
    made, given = purifier(mask).train(), maps()
    parts = made.parts(given)
    mean = given.mean(dim=(2, 3), keepdim=True)
    scale = (given.var(dim=(2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    weight, bias = (p[:, None, None] for p in (made.norm.weight, made.norm.bias))
    normed = (given - mean) / scale * weight + bias
    reducing, enhancing = by_hand(made.reduce, normed), by_hand(made.enhance, given)
    expected = (
        given,
        normed,
        reducing * normed,
        enhancing * given,
        reducing * (enhancing * given) + enhancing * (reducing * normed),
    )
    for name, found, value in zip(parts._fields, parts, expected, strict=True):
        torch.testing.assert_close(found, value, msg=name)


@torch.no_grad()
@pytest.mark.parametrize("mask", ["map", "pooled"])
def test_the_purified_maps_alone_are_the_same(mask: str) -> None:
    made, given = purifier(mask).eval(), maps()
    assert torch.equal(made(given), made.parts(given).purified)


@torch.no_grad()
def test_only_a_pooled_mask_is_one_for_the_whole_map() -> None:
    assert purifier("pooled").reduce(maps()).shape == (3, 8, 1, 1)
    weights = purifier().reduce(maps())
    assert weights.shape == maps().shape
    assert (weights.flatten(2).std(dim=2) > 0).all()
    assert weights.min() > 0
    assert weights.max() < 1


@torch.no_grad()
def test_training_keeps_statistics_that_the_test_uses() -> None:
    made, given = purifier().train(), maps()
    made(given)
    mean = made.norm.running_mean
    assert mean is not None
    torch.testing.assert_close(mean, 0.1 * given.mean(dim=(0, 2, 3)))
    own = made.parts(given).normed
    assert not torch.allclose(made.eval().parts(given).normed, own)
    alone, together = made.parts(given[:1]), made.parts(given)
    torch.testing.assert_close(alone.purified, together.purified[:1])
