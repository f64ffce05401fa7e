"""What changes while a pretraining runs, as tables of one value per step or epoch.

Source: DINO (arXiv 2104.14294) and iBOT (arXiv 2111.07832).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid.pretrain.recipe import DistillationRecipe, PretrainOptimiserRecipe, TemperatureRecipe

Table = NDArray[np.float64]

REFERENCE_BATCH = 256  # of the recipe's learning rate
LAST_MOMENTUM = 1.0


class StepTables(NamedTuple):
    """One value per step, [epochs · steps]."""

    learning_rate: Table
    weight_decay: Table
    momentum: Table


class EpochTables(NamedTuple):
    """The teacher's temperatures, one value per epoch, [epochs]."""

    class_temperature: Table
    patch_temperature: Table


def cosine(start: float, end: float, length: int) -> Table:
    """Return half a cosine from `start`; the value after the last would be `end`."""
    turn = np.pi * np.arange(length) / max(length, 1)
    return end + 0.5 * (start - end) * (1 + np.cos(turn))


def step_tables(
    recipe: PretrainOptimiserRecipe, epochs: int, steps_per_epoch: int, batch: int
) -> StepTables:
    """Return learning rate, weight decay and the teacher's momentum of every step.

    Args:
        batch: Images per step over all processes; the learning rate grows with it.
    """
    steps = epochs * steps_per_epoch
    peak = recipe.learning_rate * batch / REFERENCE_BATCH
    warmup = min(recipe.warmup_epochs * steps_per_epoch, steps)
    rise = np.linspace(0.0, peak, warmup)  # the peak is reached in its last step
    fall = cosine(peak, recipe.final_learning_rate, steps - warmup)
    return StepTables(
        np.concatenate([rise, fall]),
        cosine(recipe.weight_decay, recipe.final_weight_decay, steps),
        cosine(recipe.momentum, LAST_MOMENTUM, steps),
    )


def epoch_tables(recipe: DistillationRecipe, first_masked: int, epochs: int) -> EpochTables:
    """Return the teacher's temperatures.

    Args:
        first_masked: Epoch at which masking begins; that of the patches waits for it.
    """
    warmup = recipe.temperature_epochs
    return EpochTables(
        _temperature(recipe.class_temperature, 0, warmup, epochs),
        _temperature(recipe.patch_temperature, first_masked, warmup, epochs),
    )


def _temperature(recipe: TemperatureRecipe, wait: int, warmup: int, epochs: int) -> Table:
    parts = [
        np.full(wait, recipe.start),
        np.linspace(recipe.start, recipe.end, warmup),
        np.full(epochs, recipe.end),
    ]
    return np.concatenate(parts)[:epochs]
