"""All that happens to a crop on the CPU, compiled, one crop after another in each thread.

A crop stays in the cache of its core from the first change to the last, and is worked out alone:
neither the other images nor the number of threads change a bit of it. PyTorch's operations, which
other devices use, walk through the memory of the whole batch at each change.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reid.compiled import compiled_reduction, over_rows
from reid.data.colour_kernels import ALL, NONE, blend_crop, jitter_crop
from reid.pretrain.colour import REACH
from reid.pretrain.colour_kernels import blur_crop, normalise_crop, solarise_crop
from reid.pretrain.crop_kernels import ByteArray, resize_box
from reid.pretrain.draws import CropDraws
from reid.pretrain.recipe import ViewsRecipe
from reid.retrieval.features import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


class _Arrays(NamedTuple):
    """The fields of `CropDraws`."""

    boxes: FloatArray
    flip: BoolArray
    jitter: BoolArray
    grey: BoolArray
    blur: BoolArray
    solarise: BoolArray
    gains: FloatArray
    turn: FloatArray
    sigma: FloatArray
    order: IntArray


def cut_crops(
    images: Tensor, draws: CropDraws, size: tuple[int, int], recipe: ViewsRecipe
) -> Tensor:
    """Cut V crops of each image, in as many threads as PyTorch uses.

    Args:
        images: [B, 3, H, W] uint8 on the CPU.
        draws: What happens to the crops.
        size: Their height and width.

    Returns:
        [V, B, 3, *size] float, normalised.
    """
    crops = torch.empty(*draws.flip.shape, 3, *size)
    arrays = _Arrays(*(tensor.contiguous().numpy() for tensor in draws))
    mean, std = (np.array(triple, np.float32) for triple in (recipe.mean, recipe.std))
    reach = math.ceil(REACH * recipe.blur[1])
    arguments = (images.contiguous().numpy(), arrays, reach, mean, std, crops.numpy())
    over_rows(_cut_some, draws.flip.numel(), *arguments, threads=torch.get_num_threads())
    return crops


@compiled_reduction
def _cut_some(
    start: int,
    stop: int,
    images: ByteArray,
    draws: _Arrays,
    reach: int,
    mean: FloatArray,
    std: FloatArray,
    crops: FloatArray,
) -> None:
    """Cut crops `start` to `stop`, counted image by image, so that an image stays in the cache."""
    views, _, _, height, width = crops.shape
    lines = np.empty((3, images.shape[3]), np.float32)
    room = np.empty((2, (height + 2 * reach) * (width + 2 * reach)), np.float32)
    for number in range(start, stop):
        image, view = divmod(number, views)
        crop = crops[view, image]
        resize_box(images[image], draws.boxes[view, image], draws.flip[view, image], crop, lines)
        pixels = crop.reshape(3, height * width)
        if draws.jitter[view, image]:
            jitter_crop(pixels, draws.gains[view, image], draws.turn[view, image], draws.order)
        if draws.grey[view, image]:
            blend_crop(pixels, NONE, ALL, NONE)  # the luma alone
        if draws.blur[view, image]:
            blur_crop(crop, draws.sigma[view, image], reach, room)
        if draws.solarise[view, image]:
            solarise_crop(pixels)
        normalise_crop(pixels, mean, std)
