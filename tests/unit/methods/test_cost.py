"""Operations of a network whose parts are few enough to be counted by hand."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from reid.data.images import Batch
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.cost import image_flops
from reid.methods.registry import build_network, load_recipe

RECIPES = Path(__file__).parents[3] / "params" / "methods"


class Counted(EmbeddingNetwork):
    feature_size, uses_cameras = 4, False

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, stride=8)
        self.head = nn.Linear(8, 4)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError

    def embed(self, batch: Batch) -> Tensor:
        tokens = self.patches(batch.images).flatten(2).transpose(1, 2)[:, None]
        return self.head(scaled_dot_product_attention(tokens, tokens, tokens)[:, 0].mean(1))


@pytest.mark.parametrize("flip", [False, True])
def test_convolution_attention_and_products_are_counted(flip: bool) -> None:
    recipe = load_recipe(RECIPES / "bot/smoke.yaml", {"embed_flip": flip})
    tokens = (recipe.image.height // 8) * (recipe.image.width // 8)
    convolution = 2 * tokens * 8 * 3 * 64
    attention = 2 * (2 * tokens * tokens * 8)
    once = convolution + attention + 2 * 8 * 4
    assert image_flops(Counted(), recipe) == once * (1 + flip)


def test_kernels_that_cannot_be_looked_into_are_named() -> None:
    recipe = load_recipe(RECIPES / "reidmamba/smoke.yaml")
    torch.manual_seed(0)
    network = build_network(recipe, DataFacts(3, 2, 1))
    assert image_flops(network, recipe) > 0
    assert sorted(network.backends("cpu")) == ["scan"]
