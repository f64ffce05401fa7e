"""A training file of the published code is gone on with: the first loss is the published one."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from reid.pretrain.distillation import build_distillation
from reid.pretrain.parent import load_parent
from reid.pretrain.schedule import epoch_tables
from tests.golden.personvit_pack import Pack, packs, read_pack


@pytest.fixture(params=list(packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    return read_pack(request.param)


def test_a_training_file_is_gone_on_with(pack: Pack, tmp_path: Path) -> None:
    student, tensors = pack.group("ssl.student."), pack.tensors
    content = {
        "student": {f"module.{key}": value for key, value in student.items()},
        "teacher": pack.group("ssl.teacher."),
        "ibot_loss": {
            "center": tensors["ssl.loss.center_cls.0"],
            "center2": tensors["ssl.loss.center_patch.0"],
        },
        "args": Namespace(**pack.config["ssl"]),
    }
    torch.save(content, tmp_path / "checkpoint.pth")
    recipe, flags = pack.pretraining, pack.config["ssl"]
    shared = flags["shared"] and flags["shared_teacher"]  # else both halves get two layers
    head = recipe.head.model_copy(update={"shared": shared})
    made = build_distillation(recipe.model_copy(update={"head": head}))
    report = load_parent(made, tmp_path / "checkpoint.pth")
    assert report.missing == report.resized == ()
    assert all("last_layer2" in key for key in report.dropped)
    facts = pack.facts["ssl_losses"][0]
    tables = epoch_tables(recipe.loss, recipe.mask.first_epoch, recipe.epochs)
    losses = made(pack.views, *(float(table[facts["epoch"]]) for table in tables)).losses
    pack.close_loss(losses["loss"], facts["loss"])
