"""Changes of sharpness and tone for whole batches; pixels are float in 0 to 1."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 3  # of the blur's kernel, in widths of the Gaussian
THRESHOLD = 0.5  # above it solarisation inverts


def blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Blur each image of [B, 3, H, W] with a Gaussian of its own width.

    Args:
        sigma: [B] widths in pixels.
        largest: What none of them exceeds.
    """
    B, C, H, W = images.shape
    reach = math.ceil(REACH * largest)
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(C, dim=0)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    flat = padded.reshape(1, B * C, H + 2 * reach, W + 2 * reach)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=B * C)
    return F.conv2d(flat, kernel[:, None, None, :], groups=B * C).view(B, C, H, W)


def solarise(images: Tensor) -> Tensor:
    """Invert the bright pixels."""
    return torch.where(images >= THRESHOLD, 1 - images, images)
