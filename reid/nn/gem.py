"""Generalised mean pooling (arXiv 1711.02512)."""

import torch
from torch import Tensor


def generalised_mean(maps: Tensor, power: float = 3.0, floor: float = 1e-6) -> Tensor:
    """Turn maps [B, C, h, w] into [B, C]: the root of the mean of powers, in float32.

    Args:
        power: 1 is the mean, and infinity would be the maximum.
        floor: Smaller values are raised to it, so a negative one counts as next to nothing.
    """
    with torch.autocast(maps.device.type, enabled=False):
        powers = maps.float().clamp_min(floor).pow(power)
        return powers.mean(dim=(2, 3)).pow(1 / power)
