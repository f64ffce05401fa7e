from copy import deepcopy

import pytest
import torch
from torch import nn

from reid.methods.base import DataFacts
from reid.methods.idkl import Idkl, IdklRecipe
from reid.nn.inference import for_inference
from reid.nn.resnet import ResNetSize, resnet_parts

SIZES = {"basic": True, "bottleneck": False}


def settled(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights that matter."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("kind", SIZES)
@torch.inference_mode()
def test_features_are_the_same_without_norms(kind: str) -> None:
    size = ResNetSize(stem=4, planes=(4, 8), blocks=(2, 1), basic=SIZES[kind])
    network = settled(nn.Sequential(*resnet_parts(size, "layer2").values()))
    images, before = torch.randn(2, 3, 32, 16), deepcopy(network.state_dict())
    fast = for_inference(network)
    # in a plain sequence the stem has its norm behind its convolution, as blocks have
    assert (norms(fast), norms(network) > 0) == (0, True)
    torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@torch.inference_mode()
def test_norms_with_more_inside_stay() -> None:
    class Gated(nn.BatchNorm2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).relu()

    network = settled(nn.Sequential(nn.Conv2d(3, 4, 1), Gated(4), nn.BatchNorm2d(4)))
    images = torch.randn(2, 3, 8, 8)
    fast = for_inference(network)
    assert norms(fast) == 2
    torch.testing.assert_close(fast(images), network(images))


def test_a_network_without_norms_is_not_copied() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU())
    assert for_inference(network) is network


@torch.inference_mode()
def test_idkl_gives_the_same_features() -> None:
    recipe = IdklRecipe.model_validate(
        {
            "model": {
                "backbone": {"stem": 4, "planes": [4, 4, 8, 8], "blocks": [1, 1, 1, 1]},
                "mask_reduction": 2,
            },
            "optimiser": {"learning_rate": 1.0},
        }
    )
    network = settled(Idkl(recipe, DataFacts(5, 6, 1)))
    assert isinstance(network, Idkl)
    maps = torch.randn(2, 3, 64, 32)
    expected = network.shared.stages(network.front(maps))
    fast = for_inference(network)
    found = fast.shared.stages(fast.front(maps))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
