from typing import Any

import pytest
import torch
import torch.nn.functional as F

from reid.data.images import Batch
from reid.errors import DataError, ParamsError
from reid.losses.rank_correlation import inter_loss, intra_loss
from reid.losses.triplet import triplet_loss
from reid.losses.triplet_variants import TripletVariant, variant_triplet_loss
from reid.methods.base import DataFacts
from reid.methods.reidmamba import METHOD, ReIDMamba, ReidMambaRecipe
from reid.methods.reidmamba.branches import FUSIONS, PowerMean
from reid.nn.scan.backends import Choice, choose_backend

PUBLISHED = DataFacts(num_classes=751, num_cameras=6, num_views=1)


def network(
    loss: dict[str, Any] | None = None, facts: DataFacts | None = None, **model: Any
) -> ReIDMamba:
    torch.manual_seed(0)
    small = {
        "backbone": {"embed": 12, "depth": 3},
        "patch": 4,
        "stride": 4,
        "tokens": 4,
        "drop_path": 0.0,
    }
    recipe = ReidMambaRecipe.model_validate(
        {
            "image": {"height": 16, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": {**small, **model},
            "loss": loss or {},
        }
    )
    built = METHOD.build(recipe, facts or DataFacts(3, 2, 1))
    assert isinstance(built, ReIDMamba)
    return built


def batch(size: int = 9) -> Batch:
    images = torch.randn(size, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(size) // 3 % 3
    return Batch(images, labels, labels % 2, labels * 0, labels * 0)


def test_the_records_name_the_scan() -> None:
    assert network(scan="torch").backends("cpu") == {"scan": Choice("torch", "asked for")}
    assert network().backends("cpu") == {"scan": choose_backend("auto", "cpu")}


@pytest.mark.parametrize(
    "model",
    [{}, {"fusion": "mean"}, {"fusion": "gem"}, {"branches": 1}, {"branches": 2, "stride": 3}],
)
def test_every_trainable_weight_is_trained(model: dict[str, Any]) -> None:
    made = network(**model)
    losses = made.losses(batch())
    losses["loss"].backward()
    for name, parameter in made.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    frozen = [key for key, p in made.named_parameters() if not p.requires_grad]
    assert frozen == [f"bnnecks.{b}.bn.bias" for b in range(len(made.bnnecks))]
    parts = [value for name, value in losses.items() if name != "loss"]
    assert len(parts) == (2 if model.get("branches") == 1 else 4)
    torch.testing.assert_close(losses["loss"], torch.stack(parts).sum())


def test_losses_are_weighted_means_over_branches() -> None:
    rank = {"intra_weight": 0.5, "inter_weight": 0.25, "temperature": 0.2}
    made = network(
        {
            "id_weight": 3.0,
            "triplet_weight": 2.0,
            "margin": 0.7,
            "label_smoothing": 0.3,
            "rank": rank,
        }
    ).eval()
    given = batch()
    found, features = made.losses(given), made.features(given)
    triplets = [triplet_loss(feature, given.labels, 0.7) for feature in features]
    torch.testing.assert_close(found["triplet"], sum(triplets) / 3)
    target = torch.full((9, 3), 0.15)  # of 3 classes the other two share what is smoothed away
    target[torch.arange(9), given.labels] = 0.7
    identity = [-(target * s.log_softmax(dim=1)).sum(dim=1).mean() for s in made.scores(features)]
    torch.testing.assert_close(found["identity"], sum(identity) / 3)
    unit = [F.normalize(feature) for feature in features]
    torch.testing.assert_close(found["intra"], intra_loss(unit, given.labels, 0.2))
    torch.testing.assert_close(found["inter"], inter_loss(unit, given.labels, 0.2))
    weights = {"identity": 3.0, "triplet": 2.0, "intra": 0.5, "inter": 0.25}
    total = sum(weight * found[name] for name, weight in weights.items())
    torch.testing.assert_close(found["loss"], total)


def test_the_recipe_chooses_the_form_of_the_triplet_loss() -> None:
    form = {"squared": True, "positives": "easy"}
    made, given = network({"triplet": form, "margin": 0.7}).eval(), batch()
    variant = TripletVariant.model_validate(form)
    expected = [variant_triplet_loss(f, given.labels, 0.7, variant) for f in made.features(given)]
    torch.testing.assert_close(made.losses(given)["triplet"], torch.stack(expected).mean())


def test_a_weight_of_zero_leaves_its_regulariser_out() -> None:
    rank = {"intra_weight": 0.0, "inter_weight": 0.0}
    made = network({"rank": rank})
    assert made.losses(batch(6)).keys() == {"loss", "identity", "triplet"}


@torch.no_grad()
def test_an_embedding_is_made_of_unit_vectors() -> None:
    made = network().eval()
    found = made.embed(batch())
    assert found.shape == (9, made.feature_size) == (9, 3 * 4 * 3)
    torch.testing.assert_close(found.view(9, 3, -1).norm(dim=2), torch.ones(9, 3))
    torch.testing.assert_close(made.embed(batch(1)), found[:1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cameras_move_all_tokens_and_unknown_ones_none() -> None:
    made, given = network(side_information={"weight": 2.0}), batch(3)
    assert made.uses_cameras
    assert made.sie_embed is not None
    found = made.tokens(given.images, torch.tensor([0, 1, -1]))
    plain = network(side_information={"camera": False})
    assert not plain.uses_cameras
    assert "sie_embed" not in plain.state_dict()
    plain.load_state_dict({k: v for k, v in made.state_dict().items() if k != "sie_embed"})
    shift = found - plain.tokens(given.images, given.cameras)
    expected = torch.cat([2 * made.sie_embed, torch.zeros(1, 1, 12)]).expand_as(shift)
    torch.testing.assert_close(shift, expected, rtol=1e-4, atol=1e-6)


def test_one_camera_is_no_information() -> None:
    assert not network(facts=DataFacts(3, 1, 1)).uses_cameras


def test_a_camera_beyond_the_table_is_refused() -> None:
    given = batch()
    with pytest.raises(DataError, match="camera id 2; expected 0 to 1"):
        network().losses(given._replace(cameras=given.cameras + 1))


def test_other_image_sizes_are_refused() -> None:
    given = batch()
    with pytest.raises(DataError, match="images of 16x12 pixels"):
        network().embed(given._replace(images=given.images[..., :12]))


def test_tokens_need_as_many_patches() -> None:
    assert network(tokens=16).feature_size == 3 * 16 * 3
    with pytest.raises(ParamsError, match=r"model\.tokens 20 among 16 patches; expected at most"):
        network(tokens=20)


def test_fusions_by_hand() -> None:
    runs = torch.tensor([[[1.0, -8.0], [3.0, 2.0]]])  # two tokens of width 2
    assert FUSIONS["max"](runs).tolist() == [[3, 2]]
    assert FUSIONS["mean"](runs).tolist() == [[2, -3]]
    expected = torch.tensor([[14 ** (1 / 3), 4 ** (1 / 3)]])  # means of 1, 27 and of ~0, 8
    torch.testing.assert_close(PowerMean()(runs), expected)


@torch.no_grad()
def test_branches_fuse_neighbouring_tokens_of_the_trunk() -> None:
    made = network(fusion="mean").eval()
    stream = made.trunk(batch().images, batch().cameras)
    assert stream.residual is not None
    tokens = stream.hidden + stream.residual
    every = tokens[:, made.places[0].class_places]
    for branch in (1, 2):
        start = made.branch_input(stream, branch)
        assert start.residual is None
        found = start.hidden[:, made.places[branch].class_places]
        runs = every.unfold(1, 2**branch, 2**branch).mean(dim=3)
        torch.testing.assert_close(found, runs)
        patches = start.hidden[:, made.places[branch].patch_places]
        torch.testing.assert_close(patches, tokens[:, made.places[0].patch_places])


def test_half_precision_stays_finite() -> None:
    made = network()
    with torch.autocast("cpu", torch.bfloat16):
        losses = made.losses(batch())
        features = made.features(batch())
    assert {feature.dtype for feature in features} == {torch.float32}
    losses["loss"].backward()
    assert all(bool(value.isfinite()) for value in losses.values())
    grads = [p.grad for p in made.parameters() if p.grad is not None]
    assert all(bool(grad.isfinite().all()) for grad in grads)


def test_stochastic_depth_rises_to_the_last_sum() -> None:
    made = network(backbone={"embed": 12, "depth": 5}, drop_path=0.4)
    trunk = [block.drop_path.drop_prob for block in made.layers]
    assert trunk == pytest.approx([0.0, 0.0, 0.1])
    for blocks in made.multi_layers:
        assert [block.drop_path.drop_prob for block in blocks] == pytest.approx([0.2, 0.3])
    assert made.drop_path.drop_prob == 0.4


@pytest.mark.parametrize(
    ("name", "branches", "parameters", "entries"),
    [
        ("mamba_small", 3, 32_434_176, 509),
        ("mamba_small", 1, 26_301_696, 423),
        ("mamba_base", 3, 119_058_432, 509),
    ],
)
def test_sizes_of_the_published_models(
    name: str, branches: int, parameters: int, entries: int
) -> None:
    recipe = ReidMambaRecipe.model_validate(
        {"optimiser": {"learning_rate": 1}, "model": {"backbone": name, "branches": branches}}
    )
    with torch.device("meta"):
        made = METHOD.build(recipe, PUBLISHED)
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert len(made.state_dict()) == entries
    assert made.feature_size == branches * 12 * recipe.model.backbone.embed // 4
