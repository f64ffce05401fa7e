"""Changes of colour and sharpness for whole batches; pixels are float in 0 to 1.

Source: DINO (arXiv 2104.14294) and BYOL (arXiv 2006.07733). Differs from their code: the order of
the four colour changes is drawn once per batch, not per image.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.2, 0.1
SIGMA = (0.1, 2.0)  # of the blur, in pixels
RADIUS = 6  # three of the largest sigma
THRESHOLD = 0.5  # above it solarisation inverts


def sometimes(images: Tensor, probability: float, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change each image of [B, 3, H, W] with this probability; the others cost nothing."""
    chosen = torch.rand(len(images), device=images.device) < probability
    if chosen.any():
        images = images.clone()
        images[chosen] = change(images[chosen])
    return images


def grey(images: Tensor) -> Tensor:
    """Return the luma of [B, 3, H, W] in all three channels."""
    return _luma(images).expand_as(images)


def jitter(images: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image at random."""
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda x: x * _factor(x, BRIGHTNESS),
        lambda x: _blend(x, _luma(x).mean(dim=(1, 2, 3), keepdim=True), _factor(x, CONTRAST)),
        lambda x: _blend(x, _luma(x), _factor(x, SATURATION)),
        lambda x: turn_hue(x, HUE * (2 * torch.rand(len(x), 1, 1, device=x.device) - 1)),
    ]
    for index in torch.randperm(len(changes)).tolist():
        images = changes[index](images).clamp(0, 1)
    return images


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of [B, 3, H, W] by [B, 1, 1] of a full circle; 0.5 makes red cyan."""
    value, _ = images.max(dim=1)
    chroma = value - images.min(dim=1).values
    red, green, blue = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue + 6 * turns  # in sixths of the circle
    channels = []
    for offset in (5, 3, 1):  # where red, green and blue are lowest
        k = (hue + offset) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def blur(images: Tensor) -> Tensor:
    """Blur each image of [B, 3, H, W] with a Gaussian of its own random width."""
    B, C, H, W = images.shape
    sigma = torch.empty(B, 1, device=images.device).uniform_(*SIGMA)
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(C, dim=0)
    padded = F.pad(images, (RADIUS, RADIUS, RADIUS, RADIUS), mode="replicate")
    flat = padded.reshape(1, B * C, H + 2 * RADIUS, W + 2 * RADIUS)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=B * C)
    return F.conv2d(flat, kernel[:, None, None, :], groups=B * C).view(B, C, H, W)


def solarise(images: Tensor) -> Tensor:
    """Invert the bright pixels."""
    return torch.where(images >= THRESHOLD, 1 - images, images)


def _luma(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _factor(images: Tensor, spread: float) -> Tensor:
    return 1 + spread * (2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1)


def _blend(images: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return other + share * (images - other)
