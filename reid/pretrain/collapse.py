"""Signs that a pretraining no longer learns, and the stop.

A teacher collapses in two ways: it gives all prototypes the same probability whatever it sees, or
all images the same prototype. The first shows in the entropy, the second in both numbers.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import TrainingError
from reid.pretrain.recipe import CollapseRecipe


class Health(NamedTuple):
    """Two numbers of the teacher.

    Attributes:
        entropy: Mean entropy of its probabilities over its maximum log K, from 0 to 1.
        deviation: Mean deviation of its features of length 1, over sqrt(1/D): about 1 if they
            point in all directions, 0 if all are the same.
    """

    entropy: float
    deviation: float


@torch.no_grad()
def measure(probabilities: Tensor, features: Tensor) -> Health:
    """Measure a batch.

    Args:
        probabilities: [B, K].
        features: [B, D].
    """
    entropy = torch.special.entr(probabilities.float()).sum(dim=-1).mean()
    directions = F.normalize(features.float(), dim=-1)
    deviation = directions.std(dim=0, correction=0).mean() * math.sqrt(features.shape[1])
    return Health(float(entropy) / math.log(probabilities.shape[1]), float(deviation))


class CollapseMonitor:
    """Stop a pretraining after several checks in a row outside the recipe's bounds."""

    def __init__(self, recipe: CollapseRecipe) -> None:
        self._recipe = recipe
        self._bad = 0

    def check(self, health: Health, epoch: int) -> None:
        """Look at the numbers of a check.

        Args:
            epoch: Counted from 0.

        Raises:
            TrainingError: The teacher has collapsed.
        """
        recipe = self._recipe
        if epoch < recipe.first_epoch:
            return
        spread = recipe.lowest_entropy <= health.entropy <= recipe.highest_entropy
        healthy = spread and health.deviation >= recipe.lowest_deviation
        self._bad = 0 if healthy else self._bad + 1
        if self._bad >= recipe.patience:
            raise TrainingError(
                f"the teacher has collapsed in epoch {epoch}: entropy {health.entropy:.4f} of its "
                f"maximum, deviation of the features {health.deviation:.4f}, {self._bad} checks "
                "in a row",
                f"entropy of {recipe.lowest_entropy} to {recipe.highest_entropy} and deviation of "
                f"at least {recipe.lowest_deviation}",
                "Lower the learning rate or the teacher's temperature, or lengthen their warm-up, "
                "and start from an earlier checkpoint.",
            )


def require_finite(loss: Tensor, step: int) -> None:
    """Refuse to go on from a loss that is no number.

    Raises:
        TrainingError: The loss is infinite or not a number.
    """
    if not torch.isfinite(loss).all():
        raise TrainingError(
            f"the loss of step {step} is {float(loss.detach())}",
            "a finite number",
            "Lower the learning rate or use precision fp32, and start from an earlier checkpoint.",
        )
