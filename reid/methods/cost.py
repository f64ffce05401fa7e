"""What embedding an image costs, in numbers that depend on no machine."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from reid.data.images import Batch
from reid.methods.base import EmbeddingNetwork
from reid.methods.embedding import best_device, embed_batch
from reid.recipe import Recipe


def image_flops(network: EmbeddingNetwork, recipe: Recipe) -> int:
    """Count the floating-point operations that embed one image, flip included.

    Matrix products, convolutions and attention are counted, a multiplication with its addition as
    two; steps that work on each number by itself are not. Nor are the parts that
    `network.backends` names: nobody can look into their kernels, so whoever shows the count must
    name them beside it. The network goes to the best device and into evaluation mode.
    """
    device = best_device()
    network = network.to(device).eval()
    unknown = torch.full((1,), -1, device=device)
    shape = (1, 3, recipe.image.height, recipe.image.width)
    image = torch.zeros(shape, dtype=torch.uint8, device=device)
    visible = torch.zeros_like(unknown)
    with FlopCounterMode(display=False) as counter:
        embed_batch(network, recipe, Batch(image, unknown, unknown, unknown, visible))
    return int(counter.get_total_flops())
