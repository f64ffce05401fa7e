"""Changes of colour for whole batches, a strength for each image; pixels are float in 0 to 1."""

from collections.abc import Callable

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


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


def _luma(images: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _blend(images: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return other + share * (images - other)
