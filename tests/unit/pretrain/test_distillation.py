"""Student and teacher together: what they see, and what each loss is made of."""

from pathlib import Path
from typing import Any

import torch

from reid.data.samplers.shuffled import BatchPlan
from reid.pretrain.distillation import SelfDistillation, Views, build_distillation, follow
from reid.pretrain.draws import draw
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.views import cut_views

SMOKE = Path(__file__).parents[3] / "params" / "pretrain" / "smoke.yaml"


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(SMOKE, {"model": {"drop_path": 0.0}, **changes})


def views(made: PretrainRecipe, count: int = 4) -> Views:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 64, 32), dtype=torch.uint8)
    plan = BatchPlan(0, 0, list(range(count)), count, slice(0, count))
    return cut_views(images, draw(made, plan, 0), made.views)


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
