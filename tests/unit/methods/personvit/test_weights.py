from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import DataFacts
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe, upstream_names
from reid.nn.backbone_file import BackboneFacts, save_backbone
from reid.nn.checkpoint import load_state

WIDTH = 12


def network(height: int = 16, width: int = 8, **model: Any) -> PersonVit:
    size = {"embed": WIDTH, "depth": 2, "heads": 2}
    recipe = PersonVitRecipe.model_validate(
        {
            "image": {"height": height, "width": max(width, 16)},
            "optimiser": {"learning_rate": 0.01},
            "model": {"backbone": size, "patch": 4, "stride": 4, **model},
        }
    )
    built = METHOD.build(recipe, DataFacts(3, 1, 1))
    assert isinstance(built, PersonVit)
    return built


def backbone_state(patches: int = 32) -> dict[str, Tensor]:
    """A plain transformer that was pretrained on a grid of this many patches."""
    state = {key: torch.randn_like(v) for key, v in network().backbone.state_dict().items()}
    return state | {"pos_embed": torch.randn(1, 1 + patches, WIDTH)}


def training_file(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Write a self-supervised training file and return the backbone of its teacher."""
    wanted = backbone_state()
    head = {"head.mlp.0.weight": torch.zeros(4, WIDTH), "head.last_layer.weight_g": torch.ones(9)}
    teacher = {f"backbone.{key}": value for key, value in wanted.items()} | head
    student = {key: value + 1 for key, value in teacher.items()}
    student["backbone.masked_embed"] = torch.zeros(1, WIDTH)
    content = {
        "teacher": {prefix + key: value for key, value in teacher.items()},
        "student": {f"module.{key}": value for key, value in student.items()},
        "epoch": 7,
        "args": Namespace(arch="vit_small", out_dim=8192),
    }
    torch.save(content, path)
    return wanted


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_teacher_is_taken(tmp_path: Path, prefix: str) -> None:
    wanted = training_file(tmp_path / "t.pth", prefix)
    made = network(32, 16)  # 8 x 4 patches, as in the file
    report = METHOD.load_pretrained(made, tmp_path / "t.pth")
    assert all(torch.equal(value, wanted[k]) for k, value in made.backbone.state_dict().items())
    assert report.resized == ()
    assert report.dropped == ("head.mlp.0.weight", "head.last_layer.weight_g")
    assert {key.split(".")[0] for key in report.missing} == {"neck", "classifier"}


@pytest.mark.parametrize("wrapper", ["target_encoder", "model", "state_dict", None])
def test_plain_and_wrapped_backbones_are_taken(tmp_path: Path, wrapper: str | None) -> None:
    state = {f"module.{key}": value for key, value in backbone_state().items()}
    state |= {"module.masked_embed": torch.zeros(1, WIDTH), "module.fc.bias": torch.zeros(9)}
    torch.save({wrapper: state} if wrapper else state, tmp_path / "w.pth")
    made = network(32, 16)
    report = METHOD.load_pretrained(made, tmp_path / "w.pth")
    assert torch.equal(made.backbone.norm.bias, state["module.norm.bias"])
    assert set(report.dropped) == {"masked_embed", "fc.bias"}


def test_positions_of_another_grid_are_resampled(tmp_path: Path) -> None:
    state = backbone_state(128)  # 16 x 8
    torch.save(state, tmp_path / "w.pth")
    made = network(32, 16)
    report = METHOD.load_pretrained(made, tmp_path / "w.pth")
    assert report.resized == ("backbone.pos_embed",)
    # half the grid, bilinear: each position is the mean of four
    old = state["pos_embed"][0, 1:].view(16, 8, WIDTH)
    expected = old.view(8, 2, 4, 2, WIDTH).mean(dim=(1, 3)).flatten(0, 1)
    torch.testing.assert_close(made.backbone.pos_embed[0, 1:], expected)


def test_as_many_patches_on_another_grid_are_resampled_too(tmp_path: Path) -> None:
    state = backbone_state(16)  # 4 x 4 as their number tells, or 8 x 2 as the file says
    torch.save(state, tmp_path / "w.pth")
    made = network(16, 16)
    assert made.backbone.patch_embed.grid == (4, 4)
    assert METHOD.load_pretrained(made, tmp_path / "w.pth").resized == ()
    facts = BackboneFacts(grid=(8, 2), image_size=(32, 8), mean=(0, 0, 0), std=(1, 1, 1))
    save_backbone(tmp_path / "w.safetensors", state, facts)
    report = METHOD.load_pretrained(made, tmp_path / "w.safetensors")
    assert report.resized == ("backbone.pos_embed",)
    assert not torch.equal(made.backbone.pos_embed, state["pos_embed"])


def test_a_wrong_ratio_is_refused(tmp_path: Path) -> None:
    torch.save(backbone_state(128), tmp_path / "w.pth")
    message = "position embedding of 128 patches, height over width 1; expected a grid"
    with pytest.raises(CheckpointError, match=message):
        METHOD.load_pretrained(network(pretrained_ratio=1), tmp_path / "w.pth")
    torch.save(backbone_state(10), tmp_path / "w.pth")
    message = r"10 patches, height over width not given; .* `model\.pretrained_ratio`"
    with pytest.raises(CheckpointError, match=message):
        METHOD.load_pretrained(network(), tmp_path / "w.pth")


def test_an_own_grid_of_any_shape_is_taken(tmp_path: Path) -> None:
    made = network(20, 16)  # 5 x 4 patches, no multiple of one another
    state = backbone_state(20)
    torch.save(state, tmp_path / "w.pth")
    assert METHOD.load_pretrained(made, tmp_path / "w.pth").resized == ()
    assert torch.equal(made.backbone.pos_embed, state["pos_embed"])


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    torch.save(backbone_state() | {"gamma": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"1 unknown keys \(first 'backbone\.gamma'\)"):
        METHOD.load_pretrained(network(32, 16), tmp_path / "w.pth")
    state = backbone_state()
    del state["pos_embed"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"missing keys \(first 'backbone\.pos_embed'\)"):
        METHOD.load_pretrained(network(32, 16), tmp_path / "w.pth")


def test_distilled_and_flat_weights_are_taken(tmp_path: Path) -> None:
    state = backbone_state()
    distilled = state | {
        "dist_token": torch.zeros(1, 1, WIDTH),
        "pos_embed": torch.cat([state["pos_embed"][:, :1], state["pos_embed"]], dim=1),
        "patch_embed.proj.weight": state["patch_embed.proj.weight"].flatten(1),
    }
    torch.save(distilled, tmp_path / "w.pth")
    made = network(32, 16)
    report = METHOD.load_pretrained(made, tmp_path / "w.pth")
    assert all(torch.equal(value, state[k]) for k, value in made.backbone.state_dict().items())
    assert report.dropped == ("dist_token",)


@pytest.mark.parametrize("model", [{}, {"reduction": 5}, {"stem": True, "patch": 16, "stride": 16}])
def test_published_names_and_back(model: dict[str, Any]) -> None:
    source, target = network(32, 16, **model), network(32, 16, **model)
    names = upstream_names(source)
    assert {"base.cls_token", "base.blocks.1.attn.qkv.bias", "bottleneck.running_mean"} <= {
        *names.values()
    }
    published = {names[key]: value for key, value in source.state_dict().items()}
    published |= {"base.fc.weight": torch.zeros(1), "base.fc.bias": torch.zeros(1)}
    report = load_state(target, METHOD.convert_checkpoint(published))
    assert report.missing == report.dropped == ()
    assert all(torch.equal(v, target.state_dict()[k]) for k, v in source.state_dict().items())


def test_a_backbone_is_no_published_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="self-supervised weights go into `pretrained`"):
        METHOD.convert_checkpoint(backbone_state())
