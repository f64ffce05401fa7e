"""Which patches a student does not see: rectangles drawn until a share of the grid is covered.

Source: iBOT (arXiv 2111.07832) and BEiT (arXiv 2106.08254). The draws come from the generator that
is handed in, one mask after the other.
"""

import math
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.pretrain.recipe import MaskRecipe

TRIES = 10  # for a rectangle that fits, before a mask stays below its share


def draw_masks(
    count: int, grid: tuple[int, int], recipe: MaskRecipe, epoch: int, random: Random
) -> Tensor:
    """Draw masks; True is masked.

    Args:
        count: Number of masks B.
        grid: Patches per column and per row, h and w.
        epoch: Counted from 0; nothing is masked before `recipe.first_epoch`.

    Returns:
        [B, h, w] bool. A mask never covers more than its share of the patches.
    """
    masks = np.zeros((count, *grid), dtype=bool)
    if epoch >= recipe.first_epoch:
        for mask in masks:
            wanted = draw_ratio(recipe, random) * grid[0] * grid[1]
            if recipe.shape == "rand":
                mask.flat[random.sample(range(mask.size), int(wanted))] = True
            else:
                _cover(mask, wanted, recipe.aspect, random)
    return torch.from_numpy(masks)


def draw_ratio(recipe: MaskRecipe, random: Random) -> float:
    """Draw the share of one mask: one of the ratios, moved by up to its spread."""
    index = random.randrange(len(recipe.ratios))
    ratio, spread = recipe.ratios[index], recipe.spreads[index]
    return random.uniform(ratio - spread, ratio + spread)


def _cover(mask: NDArray[np.bool_], wanted: float, aspect: float, random: Random) -> None:
    """Set rectangles of `mask` [h, w] until `wanted` patches are covered or none fits any more."""
    covered = 0
    while covered < wanted:
        for _ in range(TRIES):
            new = _place(mask, wanted - covered, aspect, random)
            if new:
                covered += new
                break
        else:
            return


def _place(mask: NDArray[np.bool_], room: float, aspect: float, random: Random) -> int:
    """Set one random rectangle if it adds 1 to `room` patches; return how many it added."""
    rows, columns = mask.shape
    smallest = (min(rows, columns) // 3) ** 2
    area = random.uniform(smallest, room)  # with little room left the bounds change places
    slant = math.exp(random.uniform(math.log(aspect), -math.log(aspect)))
    height, width = round(math.sqrt(area * slant)), round(math.sqrt(area / slant))
    if height >= rows or width >= columns:
        return 0
    top, left = random.randint(0, rows - height), random.randint(0, columns - width)
    rectangle = mask[top : top + height, left : left + width]
    new = height * width - int(np.count_nonzero(rectangle))
    if not 0 < new <= room:
        return 0
    rectangle[:] = True
    return new
