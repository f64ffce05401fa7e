"""An IDKL small enough for unit tests."""

from typing import Any

import torch

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.idkl import METHOD, Idkl, IdklRecipe
from reid.params import merge

PEOPLE, IMAGES, CHANNELS = 3, 4, 16
FACTS = DataFacts(num_classes=PEOPLE, num_cameras=2, num_views=1)


def settings(**changes: Any) -> dict[str, Any]:
    """What a recipe file would hold."""
    plain = {
        "method": "idkl",
        "image": {"height": 64, "width": 16},
        "sampler": {"identities": PEOPLE, "images": IMAGES},
        "optimiser": {"learning_rate": 0.01},
        "model": {
            "backbone": {"stem": 4, "planes": [2, 2, 3, 4], "blocks": [1, 1, 1, 1]},
            "mask_reduction": 4,
            "modality_width": 5,
        },
    }
    return merge(plain, changes)


def recipe(**changes: Any) -> IdklRecipe:
    return IdklRecipe.model_validate(settings(**changes))


def network(**changes: Any) -> Idkl:
    torch.manual_seed(0)
    made = METHOD.build(recipe(**changes), FACTS)
    assert isinstance(made, Idkl)
    return made


def settled(**changes: Any) -> Idkl:
    """A network in evaluation mode whose norms have seen something."""
    made = network(**changes).train()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if ".neck.weight" in name:
                parameter.uniform_(0.5, 2)
        for _ in range(3):
            made.losses(batch())
    return made.eval()


def batch() -> Batch:
    """Three people, infrared and visible images in turns, as the sampler deals them."""
    size = PEOPLE * IMAGES
    images = torch.randn(size, 3, 64, 16, generator=torch.Generator().manual_seed(1))
    labels, modalities = torch.arange(size) // IMAGES, (torch.arange(size) + 1) % 2
    return Batch(images, labels, modalities, labels * 0 - 1, modalities)
