"""Learning rate as a function of the epoch, constant inside it.

Source: TransReID (arXiv 2102.04378), its solver; the step form is that of the bag of tricks
(arXiv 1903.07071). Both count epochs from 1. PersonViT (arXiv 2408.05398) is one epoch behind.
"""

import math
from bisect import bisect_left

from reid.recipe import ScheduleRecipe

WARMUP_START = 0.01  # of the base rate
FLOOR = 0.002  # of the base rate
STEP_DECAY = 0.1


def epoch_rate(schedule: ScheduleRecipe, base: float, group_base: float, epoch: float) -> float:
    """Return the learning rate of a parameter group.

    The warm-up starts, and the cosine ends, at a share of `base` that is the same for every
    group. The cosine counts from epoch 0, not from the end of the warm-up: its first value is
    already below `group_base`.

    Args:
        base: Learning rate of the recipe.
        group_base: Full rate of the group, for example twice `base` for biases.
        epoch: Epoch counted from 1.
    """
    start = WARMUP_START * base
    epoch -= schedule.lag
    if epoch < schedule.warmup_epochs:
        return start + epoch * (group_base - start) / schedule.warmup_epochs
    if schedule.name == "step":
        passed: int = bisect_left(schedule.milestones, epoch)
        return float(group_base * STEP_DECAY**passed)
    floor = FLOOR * base
    if epoch >= schedule.epochs:
        return floor
    return floor + 0.5 * (group_base - floor) * (1 + math.cos(math.pi * epoch / schedule.epochs))
