"""Random crops of upright people, resized, for whole batches without a loop over images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.pretrain.recipe import Range

TRIES = 10  # for a crop of the wanted area and shape that fits


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: Range,
    aspect: Range,
    generator: torch.Generator,
) -> Tensor:
    """Draw boxes inside an image, as torchvision's RandomResizedCrop does.

    Area and logarithm of the aspect are uniform. Where none of ten draws fits into the image, the
    box is the largest central one of a permitted shape. Differs from torchvision: boxes need not
    begin and end at whole pixels.

    Args:
        count: Boxes B.
        size: Height and width of the images.
        scale: Smallest and largest share of the area.
        aspect: Smallest and largest width over height.

    Returns:
        [B, 4] top, left, height, width in pixels.
    """
    height, width = size
    slant = (math.log(aspect[0]), math.log(aspect[1]))
    area = height * width * torch.empty(count, TRIES).uniform_(*scale, generator=generator)
    shape = torch.empty(count, TRIES).uniform_(*slant, generator=generator).exp()
    heights, widths = (area / shape).sqrt(), (area * shape).sqrt()
    fits = (heights <= height) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)
    whole = min(max(width / height, aspect[0]), aspect[1])  # the image's own shape, if permitted
    central = torch.tensor([min(height, width / whole), min(width, height * whole)])
    drawn = torch.cat([heights.gather(1, first), widths.gather(1, first)], dim=1)
    found = fits.any(dim=1, keepdim=True)
    extent = torch.where(found, drawn, central)
    room = torch.tensor([height, width]) - extent
    corner = room * torch.where(found, torch.rand(count, 2, generator=generator), 0.5)
    return torch.cat([corner, extent], dim=1)


def resize_boxes(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut V boxes out of each image and resize them bicubically, without antialiasing.

    Args:
        images: [B, C, H, W] float in 0 to 1.
        boxes: [V, B, 4] top, left, height, width in pixels.
        size: Height and width of the result.

    Returns:
        [V, B, C, *size], within the range of 0 to 1.
    """
    (height, width), (rows, columns) = images.shape[-2:], size
    top, left, tall, wide = boxes.unbind(2)
    # -1 and 1 are the outer edges of the image; a pixel is sampled at its middle
    down = (torch.arange(rows, device=images.device) + 0.5) / rows
    across = (torch.arange(columns, device=images.device) + 0.5) / columns
    y = 2 * (top[..., None] + tall[..., None] * down) / height - 1
    x = 2 * (left[..., None] + wide[..., None] * across) / width - 1
    shape = (*boxes.shape[:2], *size)
    grid = torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], dim=-1)
    # the crops of an image lie below one another, so that it need not be repeated
    tall_grid = grid.transpose(0, 1).reshape(len(images), -1, columns, 2)
    cut = F.grid_sample(
        images, tall_grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    crops = cut.view(*images.shape[:2], len(boxes), rows, columns).permute(2, 0, 1, 3, 4)
    return crops.clamp(0, 1)  # bicubic filters overshoot
