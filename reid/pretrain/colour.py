"""Changes of colour and sharpness for whole batches; pixels are float in 0 to 1."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
REACH = 3  # of the blur's kernel, in widths of the Gaussian
THRESHOLD = 0.5  # above it solarisation inverts


def grey(images: Tensor) -> Tensor:
    """Return the luma of [B, 3, H, W] in all three channels."""
    return _luma(images).expand_as(images)


def jitter(images: Tensor, gains: Tensor, turn: Tensor, order: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of [B, 3, H, W].

    Args:
        gains: [B, 3], brightness, contrast and saturation; 1 changes nothing.
        turn: [B], the turn of the hue as a share of the circle.
        order: [4], a permutation of the four changes in the order above.
    """
    brightness, contrast, saturation = gains[:, :, None, None, None].unbind(1)
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda x: x * brightness,
        lambda x: _blend(x, _luma(x).mean(dim=(1, 2, 3), keepdim=True), contrast),
        lambda x: _blend(x, _luma(x), saturation),
        lambda x: turn_hue(x, turn),
    ]
    for index in order.tolist():
        images = changes[index](images).clamp(0, 1)
    return images


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of [B, 3, H, W] by [B] of a full circle; 0.5 makes red cyan."""
    value, _ = images.max(dim=1)
    chroma = value - images.min(dim=1).values
    red, green, blue = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue + 6 * turns[:, None, None]  # in sixths of the circle
    channels = []
    for offset in (5, 3, 1):  # where red, green and blue are lowest
        k = (hue + offset) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


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


def _luma(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _blend(images: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return other + share * (images - other)
