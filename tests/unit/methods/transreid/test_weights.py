from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import DataFacts
from reid.methods.transreid import METHOD, TransReID, TransReidRecipe, upstream_names
from reid.nn.checkpoint import load_state

FACTS = DataFacts(num_classes=3, num_cameras=2, num_views=2)
WIDTH, DEPTH = 12, 3


def network(jigsaw: bool = True, qkv_bias: bool = True) -> TransReID:
    size = {"embed": WIDTH, "depth": DEPTH, "heads": 2, "qkv_bias": qkv_bias}
    model: dict[str, Any] = {"backbone": size, "patch": 4, "stride": [4, 2]}
    model |= {"jigsaw": {"groups": 1} if jigsaw else None, "side_information": {"camera": True}}
    recipe = TransReidRecipe.model_validate(
        {
            "image": {"height": 24, "width": 16},
            "optimiser": {"learning_rate": 0.01},
            "model": model,
        }
    )
    built = METHOD.build(recipe, FACTS)
    assert isinstance(built, TransReID)
    return built


def imagenet_state(rows: int = 1 + 16) -> dict[str, Tensor]:
    """Weights of a plain vision transformer on a square grid in timm's naming."""
    names = upstream_names(network(jigsaw=False))
    state = {
        names[key].removeprefix("base."): torch.randn_like(value)
        for key, value in network(jigsaw=False).state_dict().items()
        if names[key].startswith("base.") and "sie" not in names[key]
    }
    state["pos_embed"] = torch.randn(1, rows, WIDTH)
    return state | {"head.weight": torch.zeros(10, WIDTH), "head.bias": torch.zeros(10)}


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("jigsaw", [True, False])
def test_published_names_and_back(jigsaw: bool, qkv_bias: bool) -> None:
    source, target = network(jigsaw, qkv_bias), network(jigsaw, qkv_bias)
    names = upstream_names(source)
    assert len(set(names.values())) == len(names)
    published = {names[key]: value for key, value in source.state_dict().items()}
    unused = ["base.fc.weight", "base.fc.bias"]
    if jigsaw:
        unused += [f"base.blocks.{DEPTH - 1}.norm1.weight", "base.norm.weight"]
    published |= {key: torch.zeros(1) for key in unused}
    report = load_state(target, METHOD.convert_checkpoint(published))
    assert report.missing == report.dropped == ()
    for key, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[key]), key


def test_published_names_are_those_of_the_format() -> None:
    names = set(upstream_names(network()).values())
    assert {
        "base.cls_token",
        "base.sie_embed",
        "base.blocks.1.attn.qkv.weight",
        "b1.0.mlp.fc1.bias",
        "b2.1.weight",
        "bottleneck.running_mean",
        "bottleneck_4.num_batches_tracked",
        "classifier.weight",
        "classifier_4.weight",
    } <= names


def test_other_checkpoints_are_refused() -> None:
    with pytest.raises(CheckpointError, match="expected a published TransReID checkpoint"):
        METHOD.convert_checkpoint({"layer1.0.conv1.weight": torch.zeros(1)})


def test_other_data_give_a_clear_shape_error() -> None:
    names = upstream_names(network())
    published = {names[key]: value for key, value in network().state_dict().items()}
    published["classifier.weight"] = torch.zeros(751, WIDTH)
    with pytest.raises(CheckpointError, match=r"'classifiers\.0\.weight' is \[751, 12\] in the"):
        load_state(network(), METHOD.convert_checkpoint(published))


def test_imagenet_weights_go_into_every_branch(tmp_path: Path) -> None:
    state = imagenet_state()
    torch.save({"model": state}, tmp_path / "deit.pth")
    made = network()
    report = METHOD.load_pretrained(made, tmp_path / "deit.pth")
    own = made.state_dict()
    last = f"blocks.{DEPTH - 1}"
    for branch in ("global_branch", "local_branches.branch"):
        assert torch.equal(own[f"{branch}.block.attn.qkv.weight"], state[f"{last}.attn.qkv.weight"])
        assert torch.equal(own[f"{branch}.norm.bias"], state["norm.bias"])
    assert torch.equal(own["trunk.blocks.0.norm1.weight"], state["blocks.0.norm1.weight"])
    assert torch.equal(own["trunk.pos_embed"][:, 0], state["pos_embed"][:, 0])
    assert report.resized == ("trunk.pos_embed",)
    assert report.dropped == ("head.weight", "head.bias")
    assert all(key.startswith(("necks", "classifiers", "trunk.side")) for key in report.missing)


def test_distillation_parts_are_dropped(tmp_path: Path) -> None:
    state = imagenet_state(rows=2 + 16) | {"dist_token": torch.zeros(1, 1, WIDTH)}
    save_file(state, tmp_path / "d.safetensors")
    plain = dict(state)
    plain["pos_embed"] = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 2:]], dim=1)
    del plain["dist_token"]
    save_file(plain, tmp_path / "p.safetensors")
    first, second = network(), network()
    report = METHOD.load_pretrained(first, tmp_path / "d.safetensors")
    METHOD.load_pretrained(second, tmp_path / "p.safetensors")
    assert torch.equal(first.trunk.pos_embed, second.trunk.pos_embed)
    assert "dist_token" in report.dropped


def test_a_flat_projection_is_reshaped(tmp_path: Path) -> None:
    state = imagenet_state()
    weight = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = weight.flatten(1)
    save_file(state, tmp_path / "w.safetensors")
    made = network()
    METHOD.load_pretrained(made, tmp_path / "w.safetensors")
    assert torch.equal(made.trunk.patch_embed.proj.weight, weight)


def test_a_deeper_backbone_is_refused(tmp_path: Path) -> None:
    state = imagenet_state()
    state["blocks.3.norm1.weight"] = torch.zeros(WIDTH)
    save_file(state, tmp_path / "w.safetensors")
    message = r"1 unknown keys \(first 'trunk\.blocks\.3\.norm1\.weight'\)"
    with pytest.raises(CheckpointError, match=message):
        METHOD.load_pretrained(network(), tmp_path / "w.safetensors")


def test_an_unknown_timm_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="timm has no model 'vit_bse'"):
        METHOD.load_pretrained(network(), "timm:vit_bse")
