"""PersonViT's fine-tuning against tensors computed by the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid.methods.personvit import METHOD, PersonVitRecipe, upstream_names
from reid.nn.position import upright_grid
from reid.recipe import OptimiserRecipe, ScheduleRecipe
from reid.training.schedule import epoch_rate
from tests.golden.personvit_pack import Pack, packs, read_pack

POOLINGS = {
    "pool_gem": "gem",
    "pool_avg": "average",
    "pool_max": "maximum",
    "pool_avg_max": "average_maximum",
}


@pytest.fixture(params=list(packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    return read_pack(request.param)


@torch.no_grad()
def test_evaluation_outputs(pack: Pack) -> None:
    for kind in pack.kinds:
        for name in pack.group(f"ft.{kind}.eval."):
            neck = {"neck": name} if name in {"before", "after"} else {"pooling": POOLINGS[name]}
            network = pack.network(kind, model=neck).eval()
            pack.close(network.embed(pack.batch), f"ft.{kind}.eval.{name}")
        patches = network.backbone.patch_embed(pack.batch.images)
        pack.close(patches, f"ft.{kind}.patch_tokens")


def test_training_step(pack: Pack) -> None:
    for kind in pack.kinds:
        network = pack.network(kind).train()
        features = network.features(pack.batch.images)
        pack.close(features, f"ft.{kind}.train.feat")
        pack.close(network.score(features), f"ft.{kind}.train.score")
        state = METHOD.convert_checkpoint(pack.group(f"ft.{kind}.sd."))
        found, names = network.state_dict(), upstream_names(network)
        ours = {names[key]: key for key in state}
        for name, expected in pack.group(f"ft.{kind}.train.after_buffers.").items():
            if expected.is_floating_point():
                pack.close(found[ours[name]], f"ft.{kind}.train.after_buffers.{name}")
            else:
                assert torch.equal(found[ours[name]], expected), name


def test_gradients(pack: Pack) -> None:
    for kind in pack.kinds:
        network = pack.network(kind).train()
        loss = network.losses(pack.batch)["loss"]
        pack.close_loss(loss, pack.facts[f"ft_{kind}_loss"])
        loss.backward()
        names = upstream_names(network)
        found = {names[k]: p.grad for k, p in network.named_parameters() if p.grad is not None}
        pack.close_norms(found, pack.facts[f"ft_{kind}_grad_norms"])


def test_learning_rates(pack: Pack) -> None:
    recipe = PersonVitRecipe.model_validate({"optimiser": {"learning_rate": pack.config["ft_lr"]}})
    optimiser: OptimiserRecipe = recipe.optimiser
    epochs = pack.config["ft_epochs"]
    schedule = ScheduleRecipe.model_validate(recipe.schedule.model_dump() | {"epochs": epochs})
    base = optimiser.learning_rate
    bases = (base, base * optimiser.bias_factor)
    found = [[epoch_rate(schedule, base, b, e) for b in bases] for e in range(1, epochs + 1)]
    table = pack.tensors["ft.lr_per_epoch"].numpy()
    assert np.abs(np.array(found) - table).max() <= pack.tolerance("schedules_float64")


def test_import_of_a_training_file(pack: Pack, tmp_path: Path) -> None:
    c, facts = pack.config, pack.facts["ckpt"]
    prefix = facts["teacher_prefix"]
    teacher = {
        f"{prefix}{key.removeprefix('base.')}": torch.rand_like(value)
        for key, value in pack.group("ft.plain.sd.base.").items()
        if not key.startswith("fc.")
    }
    teacher |= pack.group("ckpt.teacher.")
    width = c["ft"]["embed"]
    teacher |= {
        f"{prefix}masked_embed": torch.ones(1, width),
        f"{prefix.removesuffix('backbone.')}head.mlp.0.weight": torch.ones(3, width),
    }
    student = {key: value + 1 for key, value in teacher.items()}
    content = {"teacher": teacher, "student": student, "epoch": 3}
    assert set(facts["container_keys"]) == content.keys()
    torch.save(content, tmp_path / "checkpoint.pth")
    stored = tuple(facts["grid_in_checkpoint"])
    told = upright_grid(stored[0] * stored[1], None) == stored  # by the number of positions
    for ratio in (facts["hw_ratio"], None) if told else (facts["hw_ratio"],):
        network = pack.network("plain", model={"pretrained_ratio": ratio})
        assert network.backbone.patch_embed.grid == tuple(facts["model_grid"])
        report = METHOD.load_pretrained(network, tmp_path / "checkpoint.pth")
        own = network.backbone.state_dict()
        for key in pack.group("ckpt.loaded."):
            pack.close(own[key], f"ckpt.loaded.{key}")
        changed = {f"backbone.{key}" for key in facts["changed_keys"]}
        assert changed == {*report.loaded, *report.resized}
        assert {key.split(".")[0] for key in report.dropped} == {"masked_embed", "head"}
