"""PersonViT's pretraining against tensors computed by the published code that it builds on."""

import re
from random import Random

import numpy as np
import pytest
import torch

from reid.nn.checkpoint import load_state
from reid.nn.position import stretch_positions
from reid.nn.transformer_recipe import TransformerRecipe
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.distillation import follow
from reid.pretrain.gradient import clip_each, decay_groups, freeze_last_layer
from reid.pretrain.head import ProjectionHead
from reid.pretrain.mask import draw_masks
from reid.pretrain.recipe import HeadRecipe, MaskRecipe
from reid.pretrain.schedule import epoch_tables, step_tables
from tests.golden.personvit_pack import Pack, packs, read_pack


@pytest.fixture(params=list(packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    return read_pack(request.param)


@torch.no_grad()
def test_backbone_tokens(pack: Pack) -> None:
    halves = {name: pack.half(name).eval() for name in ("student", "teacher")}
    names = [re.fullmatch(r"ssl\.(\w+?)_tokens_([a-z]+)(\d+)", name) for name in pack.tensors]
    found = [name for name in names if name]
    assert found
    for name in found:
        kind = "local" if name[2] == "local" else "global"
        mask = pack.tensors[f"ssl.in.mask{name[3]}"] if name[2] == "masked" else None
        tokens = halves[name[1]].backbone(pack.tensors[f"ssl.in.{kind}{name[3]}"], mask)
        pack.close(tokens, name[0])


@torch.no_grad()
def test_head_outputs(pack: Pack) -> None:
    views = pack.views
    for name in ("student", "teacher"):
        network = pack.half(name).eval()
        mask = views.mask.flatten(0, 1) if name == "student" else None
        tokens = network.backbone(views.global_crops.flatten(0, 1), mask)
        vectors = network.head.vectors(tokens)
        pack.close(network.head.class_logits(vectors[:, 0]), f"ssl.out.{name}_cls")
        pack.close(network.head.patch_logits(vectors[:, 1:]), f"ssl.out.{name}_patch")
        if name == "student" and len(views.local_crops):
            cls = network.backbone.class_feature(views.local_crops.flatten(0, 1))
            local = network.head.class_logits(network.head.vectors(cls))
            pack.close(local, "ssl.out.student_local_cls")


@torch.no_grad()
def test_head_alone(pack: Pack) -> None:
    state, tokens = pack.group("ssl.head.sd."), pack.tensors["ssl.head.in"]
    recipe: HeadRecipe = pack.pretraining.head.model_copy(update={"shared": True})
    head = ProjectionHead(tokens.shape[-1], recipe)
    load_state(head, state, drop=("last_layer2.*",))
    vectors = head.vectors(tokens)
    pack.close(head.class_logits(vectors[:, 0]), "ssl.head.out_cls")
    pack.close(head.patch_logits(vectors[:, 1:]), "ssl.head.out_patch")
    pack.close(head.class_logits(head.vectors(tokens[:, 0])), "ssl.head.out_2d")


def test_losses_and_centres(pack: Pack) -> None:
    recipe, made = pack.pretraining, pack.distillation()
    tables = epoch_tables(recipe.loss, recipe.mask.first_epoch, recipe.epochs)
    tolerance = pack.tolerance("centers")
    for number, facts in enumerate(pack.facts["ssl_losses"], start=1):
        temperatures = (float(table[facts["epoch"]]) for table in tables)
        losses = made(pack.views, *temperatures).losses
        pack.close_loss(losses["loss"], facts["loss"])
        # the published code reports the parts with their weights
        pack.close_loss(recipe.loss.lambda1 * losses["class"], facts["cls"])
        reference = pack.tensors[f"ssl.loss.center_cls.{number}"]
        assert float((made.centres.cls - reference).abs().max()) <= tolerance
        if recipe.loss.lambda2:
            pack.close_loss(recipe.loss.lambda2 * losses["patch"], facts["patch"])
            reference = pack.tensors[f"ssl.loss.center_patch.{number}"][0]
            assert float((made.centres.patch - reference).abs().max()) <= tolerance


def test_gradients_of_the_student(pack: Pack) -> None:
    recipe, made, facts = pack.pretraining, pack.distillation(), pack.facts
    epoch = facts["ssl_losses"][0]["epoch"]
    tables = epoch_tables(recipe.loss, recipe.mask.first_epoch, recipe.epochs)
    made(pack.views, *(float(table[epoch]) for table in tables)).losses["loss"].backward()
    student = made.student
    found = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    pack.close_norms(found, facts["ssl_student_grad_norms"])
    for gradient in found.values():
        gradient *= facts["ssl_clip"]["gradients_multiplied_by"]
    clip_each(student.parameters(), facts["ssl_clip"]["clip"])
    pack.close_norms(found, facts["ssl_clip"]["norms_after"])
    assert all(p.grad is None for p in made.teacher.parameters())
    frozen = {name for name, p in student.named_parameters() if not p.requires_grad}
    assert frozen == set(facts["ssl_frozen"])
    assert {*freeze_last_layer(student)} | frozen == {*facts["ssl_cancelled"]} | frozen
    assert all(p.grad is None for name, p in student.named_parameters() if "last_layer" in name)


def test_decay_groups(pack: Pack) -> None:
    student = pack.half("student")
    names = {parameter: name for name, parameter in student.named_parameters()}
    groups = [{names[p] for p in group["params"]} for group in decay_groups(student)]
    expected = pack.facts["ssl_param_groups"]
    assert groups == [set(expected["decayed"]), set(expected["not_decayed"])]


def test_teacher_follows(pack: Pack) -> None:
    student, teacher, facts = pack.half("student"), pack.half("teacher"), pack.facts["ssl_ema"]
    before = {name: p.detach().clone() for name, p in teacher.named_parameters()}
    assert len(facts["momentum_values"]) == facts["updates"]
    for momentum in facts["momentum_values"]:
        follow(teacher, student, momentum)
    after = dict(teacher.named_parameters())
    assert {n for n, p in after.items() if not torch.equal(p, before[n])} <= {
        *facts["names_updated"]
    }
    own = {name for name, _ in student.named_parameters()}
    assert own & after.keys() == set(facts["names_updated"])
    assert own - after.keys() == set(facts["student_names_not_in_teacher"])
    for name in pack.group("ssl.ema3."):
        pack.close(after[name], f"ssl.ema3.{name}")


def test_pretraining_schedules(pack: Pack) -> None:
    recipe, tolerance = pack.pretraining, pack.tolerance("schedules_float64")
    steps = step_tables(recipe.optimiser, recipe.epochs, pack.config["ssl"]["iters"], recipe.batch)
    epochs = epoch_tables(recipe.loss, recipe.mask.first_epoch, recipe.epochs)
    pairs = {
        "ssl.sched.lr": steps.learning_rate,
        "ssl.sched.weight_decay": steps.weight_decay,
        "ssl.sched.momentum": steps.momentum,
        "ssl.loss.teacher_temp": epochs.class_temperature,
        "ssl.loss.teacher_patch_temp": epochs.patch_temperature,
    }
    for name, found in pairs.items():
        expected = pack.tensors[name].numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= tolerance, name
    assert {name for name in pack.tensors if name.startswith("ssl.sched.")} <= pairs.keys()


def test_mask_statistics(pack: Pack) -> None:
    bounds = re.search(
        r"mean within ([\d.]+) percent.*frequency within ([\d.]+)",
        pack.facts["tolerance"]["mask_statistics"],
    )
    assert bounds
    for index, facts in enumerate(pack.facts["mask_stats"]):
        ratios, spreads = (np.atleast_1d(facts[name]) for name in ("ratio", "ratio_var"))
        recipe = MaskRecipe.model_validate(
            {
                "ratios": ratios.tolist(),
                "spreads": spreads.tolist(),
                "shape": facts["shape"],
                "aspect": facts["aspect"][0],
            }
        )
        assert facts["aspect"][1] == pytest.approx(1 / recipe.aspect)
        rows, columns = facts["grid"]
        draws = facts["samples"]
        masks = draw_masks(draws, (rows, columns), recipe, 0, Random(index))
        counts = masks.sum(dim=(1, 2)).numpy()
        # both sides are drawn: four standard errors are borne where they are the larger bound
        error = facts["std_masked"] * (2 / draws) ** 0.5
        bound = max(float(bounds[1]) / 100 * facts["mean_masked"], 4 * error)
        assert abs(counts.mean() - facts["mean_masked"]) <= bound
        assert counts.max() <= int((ratios + spreads).max() * rows * columns)
        expected = {int(count): number for count, number in facts["histogram"].items()}
        found = np.bincount(counts, minlength=rows * columns + 1).cumsum() / draws
        wanted = np.cumsum([expected.get(c, 0) for c in range(rows * columns + 1)]) / draws
        # Kolmogorov and Smirnov, at a thousandth
        assert np.abs(found - wanted).max() <= 1.95 * (2 / draws) ** 0.5
        frequency = masks.double().mean(dim=0) - pack.tensors[f"mask.{index}.cell_frequency"]
        assert float(frequency.abs().max()) <= max(float(bounds[2]), 4 * 0.5 * (2 / draws) ** 0.5)


@torch.no_grad()
def test_upright_crops_of_two_sizes(pack: Pack) -> None:
    state = pack.group("rect.sd.")
    width, fc1 = state["cls_token"].shape[-1], state["blocks.0.mlp.fc1.weight"]
    depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    patch, image = state["patch_embed.proj.weight"].shape[-1], pack.tensors["rect.in.global"]

    def backbone(heads: int) -> PretrainBackbone:
        size = {"embed": width, "depth": depth, "heads": heads}
        recipe = TransformerRecipe.model_validate(
            {
                "backbone": size | {"mlp_ratio": fc1.shape[0] / fc1.shape[1]},
                "patch": patch,
                "stride": patch,
            }
        )
        height, columns = image.shape[-2:]
        made = PretrainBackbone(recipe, (height, columns), hides=False).eval()
        load_state(made, state)
        return made

    # the pack does not say how many heads
    made = [backbone(heads) for heads in range(1, width + 1) if width % heads == 0]
    for crop in ("global", "local"):
        images, wanted = pack.tensors[f"rect.in.{crop}"], pack.tensors[f"rect.out.{crop}"]
        new = made[0].grid(images)
        positions = stretch_positions(made[0].pos_embed, made[0].patch_embed.grid, new)
        pack.close(positions, f"rect.pos.{crop}")
        outputs = [network(images)[:, 0] for network in made]
        best = min(outputs, key=lambda found: float((found - wanted).abs().max()))
        pack.close(best, f"rect.out.{crop}")
