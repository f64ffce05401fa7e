"""Generalised mean pooling (arXiv 1711.02512)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def generalised_mean(
    maps: Tensor, power: float = 3.0, floor: float = 1e-6, stripes: int = 1
) -> Tensor:
    """Turn maps [B, C, h, w] into [B, C * stripes]: the root of the mean of powers, in float32.

    Args:
        power: 1 is the mean, and infinity would be the maximum.
        floor: Smaller values are raised to it, so a negative one counts as next to nothing.
        stripes: Equal horizontal parts, from the top, each of which has a mean of its own; those of
            one channel stand side by side. They overlap where they do not divide h.
    """
    with torch.autocast(maps.device.type, enabled=False):
        powers = maps.float().clamp_min(floor).pow(power)
        return F.adaptive_avg_pool2d(powers, (stripes, 1)).flatten(1).pow(1 / power)
