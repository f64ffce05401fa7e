"""What chance decides about the crops of a batch, drawn before any pixel is touched.

All draws of a step come from the seed and the step, for the whole batch over all processes, of
which each takes its part: neither their number nor a resume changes what an image undergoes.

Source: DINO (arXiv 2104.14294) and BYOL (arXiv 2006.07733). Differs from their code: the order of
the four colour changes is drawn once per batch, not per image.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Generator, Tensor

from reid.data.samplers.shuffled import BatchPlan
from reid.nn.patch import patch_grid
from reid.pretrain.crop import draw_boxes
from reid.pretrain.mask import draw_masks
from reid.pretrain.recipe import PretrainRecipe, Range, ViewsRecipe

FLIP, JITTER = 0.5, 0.8
GAINS = (0.4, 0.4, 0.2)  # largest relative change of brightness, contrast and saturation
TURN = 0.1  # largest turn of the hue, of a full circle


class _Kind(NamedTuple):
    """Probabilities of what differs between the crops."""

    blur: float
    solarise: float


GLOBAL_CROPS = (_Kind(blur=1.0, solarise=0.0), _Kind(blur=0.1, solarise=0.2))
LOCAL_CROP = _Kind(blur=0.5, solarise=0.0)


class CropDraws(NamedTuple):
    """What happens to V crops of each of B images; all but `order` have the shape [V, B, ...].

    Attributes:
        boxes: [V, B, 4] top, left, height, width in pixels.
        flip, jitter, grey, blur, solarise: [V, B] bool, whether it happens.
        gains: [V, B, 3], brightness, contrast and saturation; 1 changes nothing.
        turn: [V, B], the turn of the hue as a share of the circle.
        sigma: [V, B], width of the blur in pixels.
        order: [4], the order of the four colour changes.
    """

    boxes: Tensor
    flip: Tensor
    jitter: Tensor
    grey: Tensor
    blur: Tensor
    solarise: Tensor
    gains: Tensor
    turn: Tensor
    sigma: Tensor
    order: Tensor

    def part(self, images: slice) -> Self:
        """Keep what concerns some of the images."""
        own = {name: getattr(self, name)[:, images] for name in self._fields if name != "order"}
        return self._replace(**own)


class Draws(NamedTuple):
    """All draws of a process in one step.

    Attributes:
        global_crops: Of two crops per image.
        local_crops: Of the small crops.
        mask: [2, B, rows, columns], True where the student does not see a patch of a global crop.
    """

    global_crops: CropDraws
    local_crops: CropDraws
    mask: Tensor


def draw(recipe: PretrainRecipe, plan: BatchPlan, seed: int) -> Draws:
    """Draw crops and masks of a step; without weight on masked patches none is masked."""
    views = recipe.views
    key = np.random.SeedSequence([seed, plan.epoch, plan.step]).generate_state(1, np.uint64)
    generator = Generator().manual_seed(int(key[0] >> np.uint64(1)))
    large = _draw_crops(GLOBAL_CROPS, plan.size, views.global_scale, views, generator)
    kinds = (LOCAL_CROP,) * views.local_crops
    small = _draw_crops(kinds, plan.size, views.local_scale, views, generator)
    return Draws(large.part(plan.slots), small.part(plan.slots), _masks(recipe, plan, seed))


def _draw_crops(
    kinds: Sequence[_Kind], images: int, scale: Range, views: ViewsRecipe, generator: Generator
) -> CropDraws:
    def uniform(*size: int) -> Tensor:
        return torch.rand(len(kinds), images, *size, generator=generator)

    boxes = draw_boxes(len(kinds) * images, views.source_size, scale, views.aspect, generator)
    return CropDraws(
        boxes=boxes.view(len(kinds), images, 4),
        flip=uniform() < FLIP,
        jitter=uniform() < JITTER,
        grey=uniform() < views.grey,
        blur=uniform() < torch.tensor([kind.blur for kind in kinds]).view(-1, 1),
        solarise=uniform() < torch.tensor([kind.solarise for kind in kinds]).view(-1, 1),
        gains=1 + views.jitter * torch.tensor(GAINS) * (2 * uniform(3) - 1),
        turn=views.jitter * TURN * (2 * uniform() - 1),
        sigma=views.blur[0] + (views.blur[1] - views.blur[0]) * uniform(),
        order=torch.randperm(4, generator=generator),
    )


def _masks(recipe: PretrainRecipe, plan: BatchPlan, seed: int) -> Tensor:
    views, model = recipe.views, recipe.model
    grid = patch_grid(views.global_size, model.patch, model.strides)
    if not recipe.loss.lambda2:
        return torch.zeros(len(GLOBAL_CROPS), len(plan.indices), *grid, dtype=torch.bool)
    each = []
    for slot in range(plan.size)[plan.slots]:
        random = Random(f"{seed} {plan.epoch} {plan.step} {slot}")
        each.append(draw_masks(len(GLOBAL_CROPS), grid, recipe.mask, plan.epoch, random))
    return torch.stack(each, dim=1)
