from pathlib import Path
from typing import Any

import pytest
import torch

from reid.losses.pairwise_matching import mean_of_finite, pairwise_cross_entropy, score_triplet
from reid.methods.registry import build_network, load_recipe
from tests.unit.methods.transmatcher.tiny import FACTS, batch, network, settled

VARIANTS: list[dict[str, Any]] = [
    {},
    {"ibn": "a"},
    {"ibn": "none", "frozen_statistics": False},
    {"neck": 0, "heads": 3},
    {"layers": 1},
    {"prior": False},
    {"pooling": "mean"},
    {"pooling": "softmax"},
    {"position": True},
    {"symmetric_prior": True},
    {"matching": "vit"},
    {"matching": "cat"},
    {"matching": "cross", "position": True},
]


@pytest.mark.parametrize("model", VARIANTS, ids=str)
def test_every_weight_is_trained(model: dict[str, Any]) -> None:
    made = network(model=model).train()
    losses = made.losses(batch())
    assert losses.keys() == {"loss", "accuracy"}
    assert not losses["accuracy"].requires_grad
    losses["loss"].backward()
    without = {name for name, value in made.named_parameters() if value.grad is None}
    assert without == set()


@torch.no_grad()
@pytest.mark.parametrize("model", VARIANTS, ids=str)
def test_the_scorer_scores_what_is_embedded(model: dict[str, Any]) -> None:
    made, given = settled(model=model), batch()
    rows = made.embed(given).numpy()
    assert rows.shape == (6, made.feature_size)
    scorer = made.scorer()
    expected = made.scores(given.images).numpy()
    found = scorer.scores(rows, rows[1:4])
    assert found == pytest.approx(expected[:, 1:4], rel=1e-4, abs=1e-4)
    assert int(torch.Size(scorer.shape).numel()) == made.feature_size
    assert scorer.flops > 0
    symmetric = found[1:4] == pytest.approx(found[1:4].T, rel=1e-4, abs=1e-4)
    assert scorer.symmetric == bool(symmetric)


@pytest.mark.parametrize("model", VARIANTS, ids=str)
def test_autocast_gives_nearly_the_same_loss(model: dict[str, Any]) -> None:
    single = network(model=model).train().losses(batch())["loss"]
    made = network(model=model).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = made.losses(batch())["loss"]
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
    # scores of fresh weights are normed differences of almost nothing, so the bound is wide
    assert float(loss.detach()) == pytest.approx(float(single.detach()), rel=0.3)


def test_statistics_of_the_backbone_stay() -> None:
    for frozen in (True, False):
        made = network(model={"ibn": "none", "frozen_statistics": frozen}).train()
        before = made.features.base.get_buffer("bn1.running_mean").clone()
        made.losses(batch())
        after = made.features.base.get_buffer("bn1.running_mean")
        assert torch.equal(before, after) == frozen
        assert made.features.training is not frozen
        assert made.matcher.training
        assert not made.eval().features.training


def test_losses_are_those_of_the_scores() -> None:
    given = batch()
    labels = given.labels
    scores = network().train().scores(given.images)
    expected = mean_of_finite(pairwise_cross_entropy(scores, labels))
    assert float(network().train().losses(given)["loss"].detach()) == pytest.approx(
        float(expected.detach())
    )
    made = network(loss={"name": "triplet", "margin": 3.0}).train()
    expected = mean_of_finite(score_triplet(scores, labels, 3.0))
    assert float(made.losses(given)["loss"].detach()) == pytest.approx(float(expected.detach()))


def test_a_batch_that_is_not_finite_trains_nothing() -> None:
    made, given = network().train(), batch()
    given.images[0, 0, 0, 0] = torch.nan
    loss = made.losses(given)["loss"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is not None and not p.grad.any() for p in made.parameters())


def test_encoder_layers_start_equal_and_decoder_layers_do_not() -> None:
    made = network()
    first, second = (dict(layer.named_parameters()) for layer in made.features.encoder.layers)
    assert all(torch.equal(first[name], second[name]) for name in first)
    weights = [made.get_parameter(f"matcher.decoder.layers.{i}.fc1.weight") for i in range(2)]
    assert not torch.equal(*weights)
    table = made.get_parameter("matcher.decoder.layers.0.score_embed")
    cells = table.shape[-1]
    assert cells == 12
    bound = 3**0.5 / cells
    assert 0.8 * bound < float(table.detach().abs().max()) <= bound


def test_parts_are_named() -> None:
    made = network()
    assert made.clipped() == [made.features, made.matcher]
    names = [name for name, _ in made.named_parameters() if name.startswith(made.backbone_prefix)]
    assert len(names) == len(list(made.features.base.parameters()))


@pytest.mark.parametrize("position", [True, False])
@torch.no_grad()
def test_only_a_position_tells_cells_apart(position: bool) -> None:
    """With equal cells everywhere the encoder's outputs differ by cell if positions are known."""
    made = network(model={"position": position}).eval()
    assert made.features.neck_conv is not None
    for parameter in made.features.neck_conv.parameters():
        parameter.zero_()
    maps = made.features(batch().images)
    assert not maps[:, 0].any()
    assert bool((maps[:, 1:].std(dim=2) > 1e-4).any()) == position


def test_size_of_the_published_network() -> None:
    trunk = 25_557_032 - 14_964_736 - 2_049_000 + 2 * (256 + 512)  # to layer3, with norms of IBN-b
    neck = 1024 * 512 * 9 + 512
    attention, perceptron = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512
    encoder = attention + perceptron + 4 * 512
    head = 192 * 2048 + 2048 + 2 * 2048 + 2048 + 1
    decoder = 192 * 192 + 512 * 512 + 512 + head + 4
    file = Path(__file__).parents[4] / "params/methods/transmatcher/market1501.yaml"
    with torch.device("meta"):
        made = build_network(load_recipe(file), FACTS)
    assert sum(p.numel() for p in made.parameters()) == trunk + neck + 2 * encoder + 3 * decoder + 2
    assert made.feature_size == 3 * 192 * 512
