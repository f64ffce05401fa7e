import pytest
from torch import nn

from reid.recipe import OptimiserRecipe
from reid.training.optimiser import build_optimiser


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_biases_have_their_own_rate_and_decay(name: str) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    network[1].bias.requires_grad_(False)
    recipe = OptimiserRecipe.model_validate(
        {"name": name, "learning_rate": 0.5, "weight_decay": 0.25, "bias_weight_decay": 0.125}
    )
    groups = build_optimiser(network, recipe).param_groups
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("0.weight", 0.5, 0.25),
        ("0.bias", 1.0, 0.125),
        ("1.weight", 0.5, 0.25),
    ]
