"""The crops that student and teacher see of a batch of images.

Source: DINO (arXiv 2104.14294) with the sizes for people of TransReID-SSL (arXiv 2111.12084). The
shape of a crop is that of an upright person: `views.aspect` in the recipe.
"""

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from reid.data.transforms import random_flip
from reid.nn.patch import patch_grid
from reid.pretrain.colour import blur, grey, jitter, solarise, sometimes
from reid.pretrain.crop import draw_boxes, resize_boxes
from reid.pretrain.distillation import Views
from reid.pretrain.mask import draw_masks
from reid.pretrain.recipe import PretrainRecipe, Range, ViewsRecipe

FLIP, JITTER, GREY = 0.5, 0.8, 0.2


@dataclass(frozen=True)
class _Kind:
    """Probabilities of what differs between the crops."""

    blur: float
    solarise: float


GLOBAL_CROPS = (_Kind(blur=1.0, solarise=0.0), _Kind(blur=0.1, solarise=0.2))
LOCAL_CROP = _Kind(blur=0.5, solarise=0.0)


def make_views(images: Tensor, recipe: PretrainRecipe, epoch: int, random: Random) -> Views:
    """Draw two global crops with masks and the local crops of each image.

    Crops are drawn from torch's global generator, masks from `random`. Where the recipe gives
    masked patches no weight, none are masked.

    Args:
        images: [B, 3, H, W] uint8.
        epoch: Counted from 0.
    """
    views = recipe.views
    pixels = images.float() / 255
    with torch.autocast(images.device.type, enabled=False):  # pixels keep their digits
        crops = [
            _crop(pixels, views.global_size, views.global_scale, views, kind)
            for kind in GLOBAL_CROPS
        ]
        local = [
            _crop(pixels, views.local_size, views.local_scale, views, LOCAL_CROP)
            for _ in range(views.local_crops)
        ]
    grid = patch_grid(views.global_size, recipe.model.patch, recipe.model.strides)
    count = len(crops) * len(images)
    if recipe.loss.lambda2:
        mask = draw_masks(count, grid, recipe.mask, epoch, random)
    else:
        mask = torch.zeros(count, *grid, dtype=torch.bool)
    return Views(
        torch.stack(crops),
        torch.stack(local) if local else pixels.new_zeros(0, len(images), 3, *views.local_size),
        mask.view(len(crops), len(images), *grid).to(images.device),
    )


def _crop(
    pixels: Tensor, size: tuple[int, int], scale: Range, views: ViewsRecipe, kind: _Kind
) -> Tensor:
    height, width = pixels.shape[-2:]
    boxes = draw_boxes(len(pixels), (height, width), scale, views.aspect)
    crops = random_flip(resize_boxes(pixels, boxes, size), FLIP)
    crops = sometimes(sometimes(crops, JITTER, jitter), GREY, grey)
    crops = sometimes(sometimes(crops, kind.blur, blur), kind.solarise, solarise)
    mean, std = (
        torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in (views.mean, views.std)
    )
    return (crops - mean) / std
