"""Optimiser with one group per parameter, as the published recipes have it."""

import torch
from torch import nn

from reid.recipe import OptimiserRecipe


def build_optimiser(network: nn.Module, recipe: OptimiserRecipe) -> torch.optim.Optimizer:
    """Build the optimiser over the trainable parameters.

    Parameters with `bias` in their name get their own rate and decay; all others, norms and
    embeddings included, share the base values (TransReID, its solver).

    Returns:
        An optimiser whose groups carry `name` and `base_rate` beside the usual keys.
    """
    groups = [
        {
            "params": [parameter],
            "name": name,
            "base_rate": rate,
            "lr": rate,
            "weight_decay": recipe.bias_weight_decay if "bias" in name else recipe.weight_decay,
        }
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
        for rate in [recipe.learning_rate * (recipe.bias_factor if "bias" in name else 1.0)]
    ]
    if recipe.name == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
    if recipe.name == "adam":
        return torch.optim.Adam(groups, fused=True)
    return torch.optim.AdamW(groups, fused=True)
