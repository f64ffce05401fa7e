"""A layer that turns the gradient round, for adversarial training (arXiv 1409.7495)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return `x` as it is; its gradient is multiplied by -`strength`."""
    reversed_: Tensor = _Reversal.apply(x, strength)
    return reversed_
