"""What happens to the gradients and parameters between the backward pass and the step."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

LAST_LAYER = "last_layer"


def decay_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Return two parameter groups, of which only the first is to be decayed.

    Biases and one-dimensional parameters are not decayed; positions, class token, mask token and
    lengths of prototypes, which are matrices, are (as in DINO and iBOT).
    """
    groups: list[dict[str, Any]] = [
        {"name": "decayed", "params": []},
        {"name": "not decayed", "params": [], "weight_decay": 0.0},
    ]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim == 1 or name.endswith(".bias")
            groups[plain]["params"].append(parameter)
    return groups


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], largest: float) -> list[Tensor]:
    """Shorten every gradient on its own to a norm of at most `largest`; return the norms before.

    Differs from the usual clipping, which looks at the norm of all gradients together.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return []
    norms = torch._foreach_norm(gradients)
    factors = [(largest / (norm + 1e-6)).clamp_max(1.0) for norm in norms]
    torch._foreach_mul_(gradients, factors)
    return list(norms)


def freeze_last_layer(network: nn.Module) -> list[str]:
    """Drop the gradients of the prototypes, which then stay as they are; return their names."""
    names = []
    for name, parameter in network.named_parameters():
        if LAST_LAYER in name:
            parameter.grad = None
            names.append(name)
    return names
