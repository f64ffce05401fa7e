from typing import Any

import pytest
import torch
from torch import Tensor

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.transreid import METHOD, TransReID, TransReidRecipe

FACTS = DataFacts(num_classes=3, num_cameras=2, num_views=2)


def network(facts: DataFacts = FACTS, **model: Any) -> TransReID:
    torch.manual_seed(0)
    small = {"backbone": {"embed": 12, "depth": 2, "heads": 2}, "patch": 4, "stride": 4}
    recipe = TransReidRecipe.model_validate(
        {
            "image": {"height": 24, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": {**small, "drop_path": 0.0, **model},
        }
    )
    built = METHOD.build(recipe, facts)
    assert isinstance(built, TransReID)
    return built


def batch(size: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 24, 16, generator=generator)
    numbers = torch.arange(size)
    return Batch(images, numbers // 2 % 3, numbers % 2, numbers % 2, numbers * 0)


def test_branches_start_as_one_block() -> None:
    made = network(jigsaw={})
    assert made.local_branches is not None
    pairs = zip(
        made.global_branch.parameters(), made.local_branches.branch.parameters(), strict=True
    )
    assert all(torch.equal(a, b) and a is not b for a, b in pairs)


def test_every_trainable_weight_is_trained() -> None:
    made = network(jigsaw={}, side_information={"camera": True})
    made.losses(batch())["loss"].backward()
    assert all(p.grad is not None for p in made.parameters() if p.requires_grad)
    frozen = {key for key, p in made.named_parameters() if not p.requires_grad}
    assert frozen == {f"necks.{i}.bias" for i in range(5)}


@pytest.mark.parametrize("jigsaw", [None, {"pieces": 3}])
def test_the_loss_is_the_sum_of_its_parts(jigsaw: dict[str, int] | None) -> None:
    losses = network(jigsaw=jigsaw).losses(batch())
    assert losses.keys() == {"loss", "identity", "triplet"}
    torch.testing.assert_close(losses["loss"], losses["identity"] + losses["triplet"])


@torch.no_grad()
def test_local_features_are_divided_by_their_number() -> None:
    made = network(jigsaw={"pieces": 3, "groups": 2}).eval()
    features = made.features(batch())
    assert features.shape == (6, 4, 12)
    expected = torch.cat([features[:, 0], *(features[:, i] / 3 for i in (1, 2, 3))], dim=1)
    assert torch.equal(made.embed(batch()), expected)
    assert made.feature_size == 48


@torch.no_grad()
def test_pieces_in_one_call_equal_pieces_one_by_one() -> None:
    made = network(jigsaw={}).eval()
    assert made.local_branches is not None
    tokens = made.trunk(*(batch()[i] for i in (0, 2, 3)))
    together = made.local_branches(tokens)
    patches = tokens[:, 1:]
    for i, piece in enumerate(made.local_branches.get_buffer("order_0")):
        alone = made.local_branches.branch(torch.cat([tokens[:, :1], patches[:, piece]], dim=1))
        torch.testing.assert_close(together[:, i], alone, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_neck_of_the_embedding_can_be_chosen() -> None:
    before, after = (network(jigsaw=None, neck=neck).eval() for neck in ("before", "after"))
    for made in (before, after):
        made.necks[0].running_mean.fill_(2.0)
    expected = (before.embed(batch()) - 2) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(after.embed(batch()), expected)


@torch.no_grad()
def test_an_image_does_not_depend_on_its_neighbours() -> None:
    made = network(jigsaw={}, side_information={"camera": True, "view": True}).eval()
    whole = made.embed(batch())
    single = made.embed(Batch(*(part[2:3] for part in batch())))
    torch.testing.assert_close(whole[2:3], single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "facts", "rows"),
    [
        ({"camera": True, "view": True}, DataFacts(3, 3, 2), 6),
        ({"camera": True, "view": True}, DataFacts(3, 3, 1), 3),
        ({"camera": True, "view": True}, DataFacts(3, 1, 2), 2),
        ({"camera": True}, DataFacts(3, 3, 2), 3),
        ({"view": True}, DataFacts(3, 3, 2), 2),
        ({"camera": True, "view": True}, DataFacts(3, 1, 0), None),
        ({}, DataFacts(3, 3, 2), None),
    ],
)
def test_a_kind_with_one_value_is_off(
    flags: dict[str, bool], facts: DataFacts, rows: int | None
) -> None:
    made = network(facts, side_information=flags)
    side = made.trunk.side_information
    assert (None if side is None else len(side.table)) == rows
    assert made.uses_cameras == (rows is not None)


def test_autocast_keeps_the_losses_finite() -> None:
    made = network(jigsaw={}, side_information={"camera": True})
    with torch.autocast("cpu", torch.bfloat16):
        losses: dict[str, Tensor] = made.losses(batch())
    losses["loss"].backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss"].dtype == torch.float32
