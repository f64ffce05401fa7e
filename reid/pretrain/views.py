"""The crops that student and teacher see of a batch of images.

Source: DINO (arXiv 2104.14294) with the sizes for people of TransReID-SSL (arXiv 2111.12084). The
shape of a crop is that of an upright person: `views.aspect` in the recipe.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from reid.data.colour import grey, jitter
from reid.pretrain.colour import blur, solarise
from reid.pretrain.crop import resize_boxes
from reid.pretrain.cut_kernels import cut_crops
from reid.pretrain.distillation import Views
from reid.pretrain.draws import CropDraws, Draws
from reid.pretrain.recipe import ViewsRecipe

_Cut = Callable[[CropDraws, tuple[int, int]], Tensor]


def cut_views(images: Tensor, draws: Draws, recipe: ViewsRecipe) -> Views:
    """Cut all crops of a batch, change their colours and normalise them.

    Args:
        images: [B, 3, H, W] uint8.
        draws: What was drawn for them.
    """
    cut = _cutter(images, recipe)
    return Views(
        cut(draws.global_crops, recipe.global_size),
        cut(draws.local_crops, recipe.local_size),
        draws.mask,
    )


def _cutter(images: Tensor, recipe: ViewsRecipe) -> _Cut:
    """Return what cuts crops of a size: compiled loops on the CPU, PyTorch elsewhere."""
    if images.device.type == "cpu":
        return lambda draws, size: cut_crops(images, draws, size, recipe)
    pixels = images.float() / 255
    return lambda draws, size: crops_by_torch(pixels, draws, size, recipe)


def crops_by_torch(
    pixels: Tensor, draws: CropDraws, size: tuple[int, int], recipe: ViewsRecipe
) -> Tensor:
    """Cut V crops of each image with operations on whole batches, on any device.

    Args:
        pixels: [B, 3, H, W] in 0 to 1.
        draws: What happens to the crops.
        size: Their height and width.

    Returns:
        [V, B, 3, *size] float, normalised.
    """
    with torch.autocast(pixels.device.type, enabled=False):  # pixels keep their digits
        return _crops(pixels, draws, size, recipe)


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
