"""The crops that student and teacher see of a batch of images.

Source: DINO (arXiv 2104.14294) with the sizes for people of TransReID-SSL (arXiv 2111.12084). The
shape of a crop is that of an upright person: `views.aspect` in the recipe.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reid.pretrain.colour import blur, grey, jitter, solarise
from reid.pretrain.crop import resize_boxes
from reid.pretrain.distillation import Views
from reid.pretrain.draws import CropDraws, Draws
from reid.pretrain.recipe import ViewsRecipe


def cut_views(images: Tensor, draws: Draws, recipe: ViewsRecipe) -> Views:
    """Cut all crops of a batch, change their colours and normalise them.

    Args:
        images: [B, 3, H, W] uint8.
        draws: What was drawn for them.
    """
    pixels = images.float() / 255
    with torch.autocast(images.device.type, enabled=False):  # pixels keep their digits
        return Views(
            _crops(pixels, draws.global_crops, recipe.global_size, recipe),
            _crops(pixels, draws.local_crops, recipe.local_size, recipe),
            draws.mask,
        )


def _crops(pixels: Tensor, draws: CropDraws, size: tuple[int, int], recipe: ViewsRecipe) -> Tensor:
    shape = (*draws.flip.shape, 3, *size)
    crops = resize_boxes(pixels, draws.boxes, size).flatten(0, 1)
    flip, gains, turn, sigma = (
        x.flatten(0, 1) for x in (draws.flip, draws.gains, draws.turn, draws.sigma)
    )
    crops = torch.where(flip[:, None, None, None], crops.flip(3), crops)
    _change(crops, draws.jitter, lambda x, at: jitter(x, gains[at], turn[at], draws.order))
    _change(crops, draws.grey, lambda x, _: grey(x))
    _change(crops, draws.blur, lambda x, at: blur(x, sigma[at], recipe.blur[1]))
    _change(crops, draws.solarise, lambda x, _: solarise(x))
    mean, std = (
        torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in (recipe.mean, recipe.std)
    )
    return crops.sub_(mean).div_(std).view(shape)


def _change(crops: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Change the chosen ones in place; the others cost nothing."""
    at = chosen.flatten().nonzero().squeeze(1)
    if len(at):
        crops[at] = change(crops[at], at)
