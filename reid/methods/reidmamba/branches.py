"""What the branches of ReIDMamba consist of: fewer class tokens, and a head on their feature."""

import torch
from torch import Tensor, nn

from reid.nn.bn_neck import BNNeck, classifier

FRESH_POWER = 3.0
GEM_FLOOR = 1e-6


class PowerMean(nn.Module):
    """Generalised mean with a learned power over the last but one dimension.

    What is negative counts as next to nothing, as in the published code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), FRESH_POWER))

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn [..., g, D] into [..., D]."""
        powers = tokens.clamp_min(GEM_FLOOR).pow(self.p)
        return powers.mean(dim=-2).pow(1 / self.p)


def highest(tokens: Tensor) -> Tensor:
    """Turn [..., g, D] into the largest values [..., D]."""
    return tokens.amax(dim=-2)


def average(tokens: Tensor) -> Tensor:
    """Turn [..., g, D] into the mean [..., D]."""
    return tokens.mean(dim=-2)


FUSIONS = {"max": highest, "mean": average}
"""How g neighbouring class tokens become one, where nothing is learned."""


class IdentityHead(nn.Module):
    """A batch-norm neck and the classifier on it; `bn` and `cls` are the published names."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.bn = BNNeck(width)
        self.cls = classifier(width, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return the [B, classes] logits of [B, F]."""
        return self.cls(self.bn(features))  # type: ignore[no-any-return]
