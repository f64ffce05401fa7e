"""A TransMatcher small enough for unit tests."""

from typing import Any

import torch

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.transmatcher import METHOD, TransMatcher, TransMatcherRecipe
from reid.params import merge

FACTS = DataFacts(num_classes=3, num_cameras=2, num_views=1)


def recipe(**changes: Any) -> TransMatcherRecipe:
    plain = {
        "image": {"height": 32, "width": 24},
        "optimiser": {"learning_rate": 0.01},
        "model": {
            "backbone": {"stem": 4, "planes": [2, 3], "blocks": [1, 1]},
            "final_layer": "layer2",
            "neck": 8,
            "layers": 3,
            "heads": 2,
            "encoder_width": 6,
            "head_width": 5,
        },
    }
    return TransMatcherRecipe.model_validate(merge(plain, changes))


def network(**changes: Any) -> TransMatcher:
    torch.manual_seed(0)
    made = METHOD.build(recipe(**changes), FACTS)
    assert isinstance(made, TransMatcher)
    return made


def batch(size: int = 6) -> Batch:
    images = torch.rand(size, 3, 32, 24, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(size) // 2
    return Batch(images, labels, labels % 2, labels * 0, labels * 0)


def settled(**changes: Any) -> TransMatcher:
    """A network in evaluation mode whose norms have seen something."""
    made = network(**changes).train()
    with torch.no_grad():
        for norm in made.modules():
            if isinstance(norm, torch.nn.BatchNorm1d):
                norm.weight.uniform_(0.5, 2)
                norm.bias.normal_()
        for _ in range(3):
            made.losses(batch())
    return made.eval()
