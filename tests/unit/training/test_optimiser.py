import pytest
from torch import Tensor, nn

from reid.data.images import Batch
from reid.errors import ParamsError
from reid.methods.base import EmbeddingNetwork
from reid.params import parse_params
from reid.recipe import OptimiserRecipe
from reid.training.optimiser import build_optimiser


class Two(EmbeddingNetwork):
    feature_size = 3
    uses_cameras = False

    def __init__(self, backbone_prefix: str = "") -> None:
        super().__init__()
        self.body, self.norm = nn.Linear(2, 3), nn.BatchNorm1d(3)
        self.norm.bias.requires_grad_(False)
        self.backbone_prefix = backbone_prefix

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.embed(batch).sum()}

    def embed(self, batch: Batch) -> Tensor:
        features: Tensor = self.norm(self.body(batch.images))
        return features


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_biases_have_their_own_rate_and_decay(name: str) -> None:
    recipe = OptimiserRecipe.model_validate(
        {"name": name, "learning_rate": 0.5, "weight_decay": 0.25, "bias_weight_decay": 0.125}
    )
    groups = build_optimiser(Two(), recipe).param_groups
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in groups] == [
        ("body.weight", 0.5, 0.25),
        ("body.bias", 1.0, 0.125),
        ("norm.weight", 0.5, 0.25),
    ]


def test_the_backbone_learns_at_a_rate_of_its_own() -> None:
    recipe = OptimiserRecipe(learning_rate=0.5, backbone_factor=0.25)
    groups = build_optimiser(Two("body."), recipe).param_groups
    rates = [("body.weight", 0.125), ("body.bias", 0.25), ("norm.weight", 0.5)]
    assert [(g["name"], g["lr"]) for g in groups] == rates
    assert [(g["name"], g["base_rate"]) for g in groups] == rates


def test_a_network_without_a_backbone_has_no_rate_for_it() -> None:
    recipe = OptimiserRecipe(learning_rate=0.5, backbone_factor=0.1)
    with pytest.raises(ParamsError, match=r"backbone_factor is 0\.1, but .* no backbone; expected"):
        build_optimiser(Two(), recipe)


@pytest.mark.parametrize("nesterov", [False, True])
def test_nesterov_looks_ahead(nesterov: bool) -> None:
    network = Two()
    recipe = OptimiserRecipe(
        learning_rate=0.5, momentum=0.5, nesterov=nesterov, weight_decay=0, bias_weight_decay=0
    )
    optimiser = build_optimiser(network, recipe)
    before = network.norm.weight.detach().clone()
    network.norm.weight.sum().backward()
    optimiser.step()
    step = 0.5 * 1.5 if nesterov else 0.5
    assert (before - network.norm.weight).tolist() == pytest.approx([step] * 3)


@pytest.mark.parametrize("other", [{"name": "adam"}, {"momentum": 0}])
def test_nesterov_without_momentum(other: dict[str, object]) -> None:
    with pytest.raises(ParamsError, match="nesterov with the name sgd and a momentum"):
        parse_params({"learning_rate": 1, "nesterov": True} | other, OptimiserRecipe, "r.yaml")
