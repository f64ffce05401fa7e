"""Student, teacher and centres start from a parent: ours, a foreign training file, a backbone."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reid.errors import CheckpointError
from reid.pretrain.distillation import SelfDistillation, build_distillation
from reid.pretrain.parent import BACKBONE_FILE, STATE_FILE, load_parent, save_state
from reid.pretrain.pretrained_directory import export_backbone
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe

SMOKE = Path(__file__).parents[3] / "params" / "pretrain" / "smoke.yaml"
SMALL = {"backbone": {"embed": 12, "depth": 1, "heads": 2}}
HEAD = {"prototypes": 6, "hidden": 8, "bottleneck": 4}


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(SMOKE, {"model": SMALL, "head": HEAD, **changes})


def build(**changes: Any) -> SelfDistillation:
    torch.manual_seed(1)
    return build_distillation(recipe(**changes))


def parent(**changes: Any) -> SelfDistillation:
    """A pair after some training: all weights differ."""
    pair = build(**changes)
    torch.manual_seed(2)
    with torch.no_grad():
        for value in pair.state_dict().values():
            value.normal_()
    return pair


def training_file(path: Path, pair: SelfDistillation, **changes: Any) -> None:
    """Write weights as iBOT does: its loss holds the centres, shared prototypes stand twice."""
    halves: dict[str, dict[str, Tensor]] = {}
    for name in ("student", "teacher"):
        half = {key: value.clone() for key, value in pair.get_submodule(name).state_dict().items()}
        if pair.student.head.last_layer2 is None:
            half |= {k.replace("layer.", "layer2."): v for k, v in half.items() if "last_" in k}
        halves[name] = half
    content = {
        "student": {f"module.{key}": value for key, value in halves["student"].items()},
        "teacher": halves["teacher"],
        "ibot_loss": {"center": pair.centres.cls, "center2": pair.centres.patch[None]},
        "args": Namespace(arch="vit_small"),
        "epoch": 3,
    }
    torch.save(content | changes, path)


def equal(pair: SelfDistillation, other: SelfDistillation, keys: tuple[str, ...] = ("",)) -> bool:
    own, wanted = pair.state_dict(), other.state_dict()
    chosen = [key for key in own if key.startswith(keys)]
    assert chosen
    return all(torch.equal(own[key], wanted[key]) for key in chosen)


def test_a_state_comes_back_whole(tmp_path: Path) -> None:
    source, target = parent(), build()
    save_state(tmp_path / STATE_FILE, source)
    export_backbone(tmp_path / BACKBONE_FILE, source.student.backbone, recipe())  # comes second
    report = load_parent(target, tmp_path)
    assert equal(target, source)
    assert set(report.loaded) == source.state_dict().keys()
    assert report.resized == report.dropped == report.missing == ()


def test_equal_states_have_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_state(tmp_path / name, parent())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": 7}, r"weight_g' is \[6, 1\] in the parent and \[7, 1\] here"),
        ({"hidden": 9}, r"mlp\.0\.weight' is \[8, 12\] in the parent and \[9, 12\] here"),
        ({"shared": False}, r"last_layer2\.weight_g' is absent in the parent and \[6, 1\] here"),
    ],
)
def test_another_head_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save_state(tmp_path / STATE_FILE, parent())
    target = build(head=HEAD | changes)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"{message}; expected the head of the pa") as caught:
        load_parent(target, tmp_path)
    assert f"name its file {BACKBONE_FILE}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / STATE_FILE, parent())
    target = build(model={"backbone": {"embed": 12, "depth": 2, "heads": 2}})
    with pytest.raises(CheckpointError, match=r"missing keys \(first 'student\.backbone\.blocks"):
        load_parent(target, tmp_path)


def test_a_state_of_another_grid_is_resampled(tmp_path: Path) -> None:
    source = parent()  # 8 x 4 patches
    target = build(views={"global_size": [32, 64]})  # as many, lying
    save_state(tmp_path / STATE_FILE, source)
    report = load_parent(target, tmp_path)
    assert report.resized == ("student.backbone.pos_embed", "teacher.backbone.pos_embed")
    assert target.student.backbone.patch_embed.grid == (4, 8)
    assert not equal(target, source, report.resized)
    assert equal(target, source, ("student.head", "teacher.backbone.blocks", "centres"))


@pytest.mark.parametrize("shared", [True, False])
def test_a_training_file_is_taken_whole(tmp_path: Path, shared: bool) -> None:
    head = HEAD | {"shared": shared}
    source, target = parent(head=head), build(head=head)
    training_file(tmp_path / "t.pth", source)
    report = load_parent(target, tmp_path / "t.pth")
    assert equal(target, source)
    assert report.missing == report.resized == ()
    twice = {f"{h}.head.last_layer2.weight_{x}" for h in ("student", "teacher") for x in "gv"}
    assert set(report.dropped) == (twice if shared else set())


def test_centres_of_another_method_stay_as_they_are(tmp_path: Path) -> None:
    source, target = parent(), build()
    loss = {"center": torch.ones(1, 6)}  # that of DINO knows no patches
    training_file(tmp_path / "t.pth", source, ibot_loss=None, dino_loss=loss)
    report = load_parent(target, tmp_path / "t.pth")
    assert report.missing == ("centres.patch",)
    assert torch.equal(target.centres.cls, torch.ones(1, 6))
    assert float(target.centres.patch.abs().max()) == 0
    assert equal(target, source, ("student", "teacher"))


@pytest.mark.parametrize("changes", [{"prototypes": 7}, {"layers": 2}])
def test_of_another_head_only_the_teachers_backbone_is_taken(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    source, target = parent(), build(head=HEAD | changes)
    fresh = build(head=HEAD | changes)
    training_file(tmp_path / "t.pth", source)
    report = load_parent(target, tmp_path / "t.pth")
    assert equal(target, source, ("teacher.backbone",))
    wanted = {f"student.{k}": v for k, v in source.teacher.state_dict().items() if "backbone" in k}
    own = target.state_dict()
    assert all(torch.equal(own[key], value) for key, value in wanted.items())
    assert equal(target, source, ("student.backbone.masked_embed",))
    assert equal(target, fresh, ("student.head", "teacher.head", "centres"))
    assert {key.split(".")[1] for key in report.missing} == {"head", "cls", "patch"}
    assert {"student.backbone.norm.bias", "head.last_layer.weight_g"} <= set(report.dropped)
    assert "student.backbone.masked_embed" not in report.dropped


def test_prototypes_that_are_not_shared_fit_no_shared_head(tmp_path: Path) -> None:
    source, target = parent(head=HEAD | {"shared": False}), build()
    training_file(tmp_path / "t.pth", source)
    load_parent(target, tmp_path / "t.pth")
    assert equal(target, build(), ("student.head", "teacher.head"))
    assert equal(target, source, ("teacher.backbone",))


def test_an_exported_backbone_goes_into_both(tmp_path: Path) -> None:
    source, target = parent(), build(views={"global_size": [32, 64]})
    export_backbone(tmp_path / BACKBONE_FILE, source.teacher.backbone, recipe())
    report = load_parent(target, tmp_path)
    assert report.resized == ("student.backbone.pos_embed", "teacher.backbone.pos_embed")
    assert report.missing[0] == "student.backbone.masked_embed"
    assert not target.student.state_dict()["backbone.masked_embed"].any()
    blocks = source.teacher.backbone.blocks.state_dict()
    for half in (target.student, target.teacher):
        assert all(torch.equal(v, blocks[k]) for k, v in half.backbone.blocks.state_dict().items())
    assert torch.equal(target.student.backbone.pos_embed, target.teacher.backbone.pos_embed)


def test_positions_that_tell_no_grid_are_refused(tmp_path: Path) -> None:
    state = parent().teacher.backbone.state_dict() | {"pos_embed": torch.zeros(1, 11, 12)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"10 patches, .* `views\.global_size`\."):
        load_parent(build(), tmp_path / "w.pth")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"neither {STATE_FILE} nor {BACKBONE_FILE}"):
        load_parent(build(), tmp_path)
