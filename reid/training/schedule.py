"""Learning rate as a function of the epoch, or of the batch while it warms up.

Source: TransReID (arXiv 2102.04378), its solver; the step form is that of the bag of tricks
(arXiv 1903.07071). Both count epochs from 1. PersonViT (arXiv 2408.05398) is one epoch behind.
The form with a warm-up by batches is that of ReIDMamba (arXiv 2511.07948). The adaptive form is
that of QAConv 2.1 (arXiv 1904.10424 and its published code).
"""

import math
from bisect import bisect_left

from reid.recipe import ScheduleRecipe

WARMUP_START = 0.01  # of the base rate
FLOOR = 0.002  # of the base rate
ITERATION_FLOOR = 0.001  # of the base rate, for `iteration_cosine`
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
    if schedule.name == "adaptive":
        return group_base
    floor = FLOOR * base
    if epoch >= schedule.epochs:
        return floor
    return floor + 0.5 * (group_base - floor) * (1 + math.cos(math.pi * epoch / schedule.epochs))


class IterationCosine:
    """Learning rate of `iteration_cosine`: a warm-up by batches, then a cosine by epochs.

    The cosine takes one step at the end of every epoch by which more batches than those of the
    warm-up have passed; so the rate is constant in an epoch that begins behind the warm-up.
    Epochs need not have the same number of batches: the steps are counted, not computed from a
    number of batches per epoch, and are the state to keep where a run may be stopped.

    Args:
        schedule: With the name `iteration_cosine`.
        base: Learning rate of the recipe.

    Attributes:
        steps: Steps that the cosine has taken.
    """

    def __init__(self, schedule: ScheduleRecipe, base: float) -> None:
        self._warmup, self._length = schedule.warmup_iterations, schedule.cosine_epochs or 1
        self._base = base
        self.steps = 0

    def start_epoch(self, iteration: int) -> None:
        """Take the step that is due when an epoch begins at this batch, counted from 0."""
        self.steps += iteration > self._warmup

    def rate(self, group_base: float, iteration: int) -> float:
        """Return the learning rate of a parameter group.

        Args:
            group_base: Full rate of the group.
            iteration: Batch, counted from 0 through all epochs.
        """
        start, floor = WARMUP_START * self._base, ITERATION_FLOOR * self._base
        if iteration < self._warmup:
            return start + iteration * (group_base - start) / self._warmup
        fallen = math.cos(math.pi * self.steps / self._length)
        return floor + 0.5 * (group_base - floor) * (1 + fallen)


class AdaptiveStep:
    """Learning rate and length of `adaptive`: one step of the rate, when the loss has fallen.

    The rate falls behind the first epoch e, from the third on, whose mean loss is below `drop` of
    that of the second epoch; the last epoch then is e + e // 2, if not the last one anyhow.

    Args:
        schedule: With the name `adaptive`.
        base: Learning rate of the recipe.

    Attributes:
        reference: Mean loss of the second epoch, None before its end.
        fallen_at: Last epoch with the full rate, None as long as the rate has not fallen.
    """

    def __init__(self, schedule: ScheduleRecipe, base: float) -> None:
        self._schedule, self._base = schedule, base
        self.reference: float | None = None
        self.fallen_at: int | None = None

    def end_epoch(self, epoch: int, loss: float) -> None:
        """Take the mean loss of an epoch, counted from 1."""
        if epoch == 2:
            self.reference = loss
            return
        if self.reference is None or self.fallen_at is not None:
            return
        if loss < self._schedule.drop * self.reference:
            self.fallen_at = epoch

    @property
    def last_epoch(self) -> int:
        """The epoch with which the training ends, as far as is known."""
        if self.fallen_at is None:
            return self._schedule.epochs
        return min(self._schedule.epochs, self.fallen_at + self.fallen_at // 2)

    def rate(self, group_base: float, epoch: int) -> float:
        """Return the learning rate of a parameter group in an epoch that has just begun."""
        rate = epoch_rate(self._schedule, self._base, group_base, epoch)
        return rate if self.fallen_at is None else rate * STEP_DECAY
