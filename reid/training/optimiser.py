"""Optimiser with one group per parameter, as the published recipes have it."""

import torch

from reid.errors import ParamsError
from reid.methods.base import EmbeddingNetwork
from reid.recipe import OptimiserRecipe


def build_optimiser(network: EmbeddingNetwork, recipe: OptimiserRecipe) -> torch.optim.Optimizer:
    """Build the optimiser over the trainable parameters.

    Parameters with `bias` in their name get their own rate and decay; all others, norms and
    embeddings included, share the base values (TransReID, its solver). The rates of the backbone
    are those times `backbone_factor`.

    Returns:
        An optimiser whose groups carry `name` and `base_rate` beside the usual keys.

    Raises:
        ParamsError: A rate of its own for the backbone of a network that names none.
    """
    slow = network.backbone_prefix
    if recipe.backbone_factor != 1 and not slow:
        raise ParamsError(
            f"optimiser.backbone_factor is {recipe.backbone_factor:g}, but the network names no "
            "backbone",
            "1",
            "Correct or remove the key in the recipe.",
        )
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
        for factor in [recipe.backbone_factor if slow and name.startswith(slow) else 1.0]
        for rate in [
            recipe.learning_rate * (recipe.bias_factor if "bias" in name else 1.0) * factor
        ]
    ]
    if recipe.name == "sgd":
        return torch.optim.SGD(
            groups, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True
        )
    if recipe.name == "adam":
        return torch.optim.Adam(groups, fused=True)
    return torch.optim.AdamW(groups, fused=True)
