"""Random crops of upright people, resized, for whole batches without a loop over images."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.pretrain.recipe import Range

TRIES = 10  # for a crop of the wanted area and shape that fits


def draw_boxes(count: int, size: tuple[int, int], scale: Range, aspect: Range) -> Tensor:
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
    area = height * width * torch.empty(count, TRIES).uniform_(*scale)
    shape = torch.empty(count, TRIES).uniform_(math.log(aspect[0]), math.log(aspect[1])).exp()
    heights, widths = (area / shape).sqrt(), (area * shape).sqrt()
    fits = (heights <= height) & (widths <= width)
    first = fits.int().argmax(dim=1, keepdim=True)
    whole = min(max(width / height, aspect[0]), aspect[1])  # the image's own shape, if permitted
    central = torch.tensor([min(height, width / whole), min(width, height * whole)])
    drawn = torch.cat([heights.gather(1, first), widths.gather(1, first)], dim=1)
    found = fits.any(dim=1, keepdim=True)
    extent = torch.where(found, drawn, central)
    room = torch.tensor([height, width]) - extent
    corner = room * torch.where(found, torch.rand(count, 2), 0.5)
    return torch.cat([corner, extent], dim=1)


def resize_boxes(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut one box out of each image and resize it bicubically, without antialiasing.

    Args:
        images: [B, C, H, W] float.
        boxes: [B, 4] top, left, height, width in pixels.
        size: Height and width of the result.

    Returns:
        [B, C, *size], within the range of 0 to 1.
    """
    height, width = images.shape[-2:]
    top, left, tall, wide = boxes.to(images.device).unbind(1)
    zero = torch.zeros_like(top)
    # -1 and 1 are the outer edges of the image
    rows = [wide / width, zero, (2 * left + wide) / width - 1]
    columns = [zero, tall / height, (2 * top + tall) / height - 1]
    theta = torch.stack([torch.stack(rows, dim=1), torch.stack(columns, dim=1)], dim=1)
    grid = F.affine_grid(theta, [len(images), images.shape[1], *size], align_corners=False)
    cut = F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return cut.clamp(0, 1)  # bicubic filters overshoot
