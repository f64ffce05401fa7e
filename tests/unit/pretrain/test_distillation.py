"""Student and teacher together, down to a short pretraining that ends in a method's network."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from reid.methods.base import DataFacts
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe
from reid.nn.backbone_file import read_facts
from reid.pretrain.collapse import measure, require_finite
from reid.pretrain.distillation import SelfDistillation, Views, build_distillation, follow
from reid.pretrain.export import export_backbone
from reid.pretrain.gradient import clip_each, decay_groups, freeze_last_layer
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.schedule import epoch_tables, step_tables
from reid.pretrain.views import make_views

SMOKE = Path(__file__).parents[3] / "params" / "pretrain" / "smoke.yaml"


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(SMOKE, {"model": {"drop_path": 0.0}, **changes})


def views(made: PretrainRecipe, count: int = 4) -> Views:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 64, 32), dtype=torch.uint8)
    return make_views(images, made, 0, Random(0))


def build(made: PretrainRecipe) -> SelfDistillation:
    torch.manual_seed(0)
    return build_distillation(made)


def test_both_start_alike_and_only_one_learns() -> None:
    pair = build(load_pretrain_recipe(SMOKE))
    teacher, student = dict(pair.teacher.named_parameters()), dict(pair.student.named_parameters())
    assert student.keys() - teacher.keys() == {"backbone.masked_embed"}
    assert all(torch.equal(value, student[name]) for name, value in teacher.items())
    assert not any(value.requires_grad for value in teacher.values())
    rates = [
        [block.drop_path.drop_prob for block in half.backbone.blocks]
        for half in (pair.student, pair.teacher)
    ]
    assert rates == [[0.0, 0.1], [0.0, 0.0]]


def test_the_teacher_follows_by_name() -> None:
    pair = build(recipe())
    with torch.no_grad():
        for parameter in pair.student.parameters():
            parameter += 1
    before = pair.teacher.backbone.norm.bias.clone()
    follow(pair.teacher, pair.student, 0.75)
    torch.testing.assert_close(pair.teacher.backbone.norm.bias, before + 0.25)


def test_every_part_of_the_student_learns() -> None:
    made = recipe()
    step = build(made)(views(made), 0.04, 0.04)
    assert step.losses.keys() == {"loss", "class", "patch"}
    torch.testing.assert_close(step.losses["loss"], step.losses["class"] + step.losses["patch"])
    assert step.probabilities.shape == (8, 64)
    assert step.features.shape == (8, 48)
    pair = build(made)
    pair(views(made), 0.04, 0.04).losses["loss"].backward()
    assert all(p.grad is not None for p in pair.student.parameters())
    assert all(p.grad is None for p in pair.teacher.parameters())


def test_half_precision_gives_nearly_the_same() -> None:
    made = recipe()
    exact = build(made)(views(made), 0.04, 0.04).losses["loss"].detach()
    with torch.autocast("cpu", torch.bfloat16):
        half = build(made)(views(made), 0.04, 0.04).losses["loss"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.detach(), exact, rtol=0.05, atol=0)


def test_weights_of_the_losses() -> None:
    made = recipe(loss={"lambda1": 0.5, "lambda2": 2.0})
    losses = build(made)(views(made), 0.04, 0.04).losses
    expected = 0.5 * losses["class"] + 2.0 * losses["patch"]
    torch.testing.assert_close(losses["loss"], expected)


def test_without_patches_it_is_plain_distillation() -> None:
    made = recipe(loss={"lambda2": 0.0})
    pair, seen = build(made), views(made)
    losses = pair(seen, 0.04, 0.04).losses
    assert losses.keys() == {"loss", "class"}
    assert float(pair.centres.patch.abs().max()) == 0
    whole = build(recipe())(seen, 0.04, 0.04).losses  # nothing is masked in these views
    torch.testing.assert_close(losses["class"], whole["class"])
    assert float(whole["patch"].detach()) == 0


def test_class_tokens_may_come_from_clean_crops() -> None:
    made = recipe(mask={"ratios": [0.5], "spreads": [0.0]})
    clean = recipe(**made.model_dump(exclude={"model", "loss"}), loss={"separate_clean_view": True})
    seen = views(made)
    losses = [build(r)(seen, 0.04, 0.04).losses for r in (made, clean)]
    unmasked = build(clean)(seen._replace(mask=seen.mask & False), 0.04, 0.04).losses
    torch.testing.assert_close(losses[0]["patch"], losses[1]["patch"])
    torch.testing.assert_close(losses[1]["class"], unmasked["class"])


def test_centres_do_not_see_their_own_batch() -> None:
    made = recipe()
    pair, seen = build(made), views(made)
    first = pair(seen, 0.04, 0.04).losses["loss"].detach()
    assert float(pair.centres.cls.abs().max()) > 0
    assert float(pair.centres.patch.abs().max()) > 0
    assert float(pair(seen, 0.04, 0.04).losses["loss"].detach()) != float(first)


def test_the_patch_centre_is_the_mean_over_all_patches() -> None:
    made = recipe()
    pair, seen = build(made), views(made)
    with torch.no_grad():
        tokens = pair.teacher.backbone(seen.global_crops.flatten(0, 1))
        logits = pair.teacher.head.patch_logits(pair.teacher.head.vectors(tokens[:, 1:]))
    pair(seen, 0.04, 0.04)
    expected = 0.1 * logits.mean(dim=(0, 1))[None]
    torch.testing.assert_close(pair.centres.patch, expected, rtol=1e-4, atol=1e-6)


def test_masked_patches_are_not_seen() -> None:
    backbone = build(recipe()).student.backbone.eval()
    images = torch.randn(1, 3, 64, 32)
    mask = torch.zeros(1, 8, 4, dtype=torch.bool)
    mask[0, 0, 0] = True
    changed = images.clone()
    changed[..., :8, :8] += 5
    with torch.no_grad():
        pairs = [backbone(images, mask), backbone(changed, mask)]
        assert torch.equal(*pairs)
        assert not torch.equal(backbone(images), backbone(changed))


def pretrain(made: PretrainRecipe, images: Tensor) -> tuple[SelfDistillation, list[float]]:
    """The smallest loop over the pieces."""
    pair = build(made)
    optimiser = torch.optim.AdamW(decay_groups(pair.student), lr=0.0)
    steps = len(images) // made.batch
    tables = step_tables(made.optimiser, made.epochs, steps, made.batch)
    warmth = epoch_tables(made.loss, made.mask.first_epoch, made.epochs)
    losses = []
    for step in range(made.epochs * steps):
        epoch, first = step // steps, step % steps * made.batch
        seen = make_views(images[first : first + made.batch], made, epoch, Random(step))
        out = pair(seen, *(float(table[epoch]) for table in warmth))
        require_finite(out.losses["loss"], step)
        optimiser.zero_grad()
        out.losses["loss"].backward()
        clip_each(pair.student.parameters(), made.optimiser.clip or 0)
        if epoch < made.optimiser.freeze_last_layer:
            freeze_last_layer(pair.student)
        optimiser.param_groups[0]["weight_decay"] = tables.weight_decay[step]
        for group in optimiser.param_groups:
            group["lr"] = tables.learning_rate[step]
        optimiser.step()
        follow(pair.teacher, pair.student, float(tables.momentum[step]))
        losses.append(float(out.losses["loss"].detach()))
    return pair, losses


@pytest.mark.parametrize("shared", [True, False])
def test_a_short_pretraining_gives_a_backbone(tmp_path: Path, shared: bool) -> None:
    made = load_pretrain_recipe(SMOKE, {"head": {"shared": shared}})
    images = torch.randint(0, 256, (32, 3, 64, 32), dtype=torch.uint8)
    pair, losses = pretrain(made, images)
    assert all(0 < loss < 50 for loss in losses)
    assert not torch.equal(pair.teacher.backbone.norm.bias, pair.student.backbone.norm.bias)
    assert float(pair.centres.cls.abs().max()) > 0
    out = pair(make_views(images, made, 1, Random(0)), 0.07, 0.07)
    health = measure(out.probabilities, out.features)
    assert 0 < health.entropy < 1
    assert health.deviation > 0

    export_backbone(tmp_path / "b.safetensors", pair.teacher.backbone, made)
    facts = read_facts(tmp_path / "b.safetensors")
    assert facts is not None
    assert (facts.grid, facts.mean) == ((8, 4), made.views.mean)
    fine = PersonVitRecipe.model_validate(
        {
            "image": {"height": 96, "width": 32},
            "optimiser": {"learning_rate": 0.1},
            "model": made.model.model_dump(),
        }
    )
    network = METHOD.build(fine, DataFacts(3, 1, 1))
    assert isinstance(network, PersonVit)
    report = METHOD.load_pretrained(network, tmp_path / "b.safetensors")
    assert report.resized == ("backbone.pos_embed",)
    assert torch.equal(network.backbone.norm.bias, pair.teacher.backbone.norm.bias)


def test_a_short_pretraining_repeats_itself() -> None:
    made = load_pretrain_recipe(SMOKE, {"epochs": 1})
    images = torch.randint(0, 256, (16, 3, 64, 32), dtype=torch.uint8)
    first, second = (pretrain(made, images)[1] for _ in range(2))
    assert first == second
