from pathlib import Path

import pytest
import torch
from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.idkl import METHOD, Idkl
from reid.nn.checkpoint import load_state, read_weights
from reid.nn.resnet import ResNet, ResNetSize
from tests.unit.methods.idkl.tiny import batch, network

SHARED = "backbone.shared_module_bh.model_sh_bh."
# where the published code keeps what we have under these names; the longest first
NAMES = {
    "front.": "backbone.shared_module_fr.model_sh_fr.",
    "shared.stages.": SHARED,
    "specific.stages.": "backbone.special.special_module.",
    "shared.neck.": "bn_neck.",
    "specific.neck.": "bn_neck_sp.",
    "shared.classifier.": "classifier.",
    "specific.classifier.": "classifier_sp.",
    "certainty.": "C_sp_f.",
    "discriminator.": "D_special.",
    "confuser.": "D_shared_pseu.",
    "purifier.norm.": "backbone.IN.",
    "purifier.reduce.": "backbone.mask1.channel_attention.",
    "purifier.enhance.": "backbone.mask2.channel_attention.",
}
UNUSED = {
    f"{SHARED}conv1.weight",
    f"{SHARED}layer2.0.conv1.weight",
    "backbone.shared_module_fr.model_sh_fr.layer4.0.bn3.bias",
    "backbone.special.special_module.bn1.running_mean",
    "backbone.special_att.channel_attention.0.weight",
}


def published(made: Idkl) -> dict[str, Tensor]:
    """What the published code saves of such a network, with some of what it never uses."""
    state = {}
    for key, value in made.state_dict().items():
        own = next(name for name in NAMES if key.startswith(name))
        state[NAMES[own] + key.removeprefix(own)] = value
    return state | {key: torch.zeros(2) for key in UNUSED}


def randomised() -> Idkl:
    made = network()
    with torch.no_grad():
        for value in made.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 1)
    return made.eval()


@torch.no_grad()
def test_a_published_checkpoint() -> None:
    source, target = randomised(), network().eval()
    converted = METHOD.convert_checkpoint(published(source))
    report = load_state(target, target.fit_checkpoint(converted))
    assert set(report.loaded) == source.state_dict().keys()
    assert report.missing == report.dropped == ()
    expected = source.branches(batch())
    for name, rows in target.branches(batch()).items():
        assert torch.equal(rows, expected[name])


def test_a_recipe_without_some_parts_takes_the_others() -> None:
    loss = {"confuser": "none", "weights": {"confuser": 0, "purifier": 0, "discriminator": 0}}
    target = network(loss=loss, model={"purifier": False})
    converted = METHOD.convert_checkpoint(published(randomised()))
    report = load_state(target, target.fit_checkpoint(converted))
    assert set(report.loaded) == target.state_dict().keys()
    left_out = {key.split(".")[0] for key in converted.keys() - set(report.loaded)}
    assert left_out == {"purifier", "certainty", "confuser", "discriminator"}


def test_keys_that_nobody_knows_are_an_error() -> None:
    target = network()
    state = published(randomised()) | {"centres.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"1 unknown keys \(first 'centres.weight'\)"):
        load_state(target, target.fit_checkpoint(METHOD.convert_checkpoint(state)))


def test_a_file_without_a_part_of_the_recipe() -> None:
    target = network()
    state = {k: v for k, v in published(randomised()).items() if not k.startswith("C_sp_f.")}
    with pytest.raises(CheckpointError, match=r"1 missing keys \(first 'certainty.weight'\)"):
        load_state(target, target.fit_checkpoint(METHOD.convert_checkpoint(state)))


def test_a_checkpoint_of_another_method() -> None:
    found = "a state dict of 1 keys without the residual networks and the classifier of IDKL"
    with pytest.raises(CheckpointError, match=f"^{found}; expected a published IDKL checkpoint"):
        METHOD.convert_checkpoint({"base.conv1.weight": torch.zeros(1)})


def residual(**size: object) -> dict[str, Tensor]:
    """Weights of a whole residual network in torchvision's names."""
    plain = {"stem": 4, "planes": (2, 2, 3, 4), "blocks": (1, 1, 1, 1)}
    made = ResNet(ResNetSize.model_validate(plain | size), "layer4")
    state = {key: torch.rand_like(v.float()).to(v.dtype) for key, v in made.state_dict().items()}
    return state | {"fc.weight": torch.zeros(7, 16), "fc.bias": torch.zeros(7)}


def test_one_residual_network_goes_into_front_and_branches(tmp_path: Path) -> None:
    state, target = residual(), network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    report = METHOD.load_pretrained(target, tmp_path / "w.pth")
    late = {key for key in state if key.startswith(("layer3", "layer4"))}
    used = {key for key in state if not key.startswith("fc.")}
    assert len(report.loaded) == len(used) + len(late)
    assert report.dropped == ("fc.weight", "fc.bias")
    after = target.state_dict()
    for key in used - late:
        assert torch.equal(after[f"front.{key}"], state[key]), key
    for key in late:
        for branch in ("shared", "specific"):
            assert torch.equal(after[f"{branch}.stages.{key}"], state[key]), key
    heads = {key for key in before if ".stages." not in key and not key.startswith("front.")}
    assert set(report.missing) == heads
    assert all(torch.equal(before[key], after[key]) for key in heads)
    assert report.summary() == (
        f"{len(report.loaded)} tensors loaded, 2 dropped (fc.weight, fc.bias), {len(heads)} missing"
        f" (shared.neck.weight, shared.neck.bias, shared.neck.running_mean and {len(heads) - 3}"
        " more)"
    )


def test_the_branches_do_not_share_what_they_loaded(tmp_path: Path) -> None:
    target, name = network(), "stages.layer3.0.conv1.weight"
    torch.save(residual(), tmp_path / "w.pth")
    METHOD.load_pretrained(target, tmp_path / "w.pth")
    with torch.no_grad():
        target.get_parameter(f"shared.{name}").zero_()
    assert target.get_parameter(f"specific.{name}").any()


def test_old_files_without_counters(tmp_path: Path) -> None:
    state = {key: value for key, value in residual().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "w.pth")
    report = METHOD.load_pretrained(network(), tmp_path / "w.pth")
    assert "front.bn1.num_batches_tracked" in report.missing


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"blocks": (1, 2, 1, 1)}, r"unknown keys \(first 'front.layer2.1.conv1.weight'\)$"),
        ({"blocks": (1, 1, 2, 1)}, r"unknown keys \(first 'shared.stages.layer3.1.conv1.weight'"),
        ({"stem": 5}, r"other shapes \(first 'front.conv1.weight' is \[5, 3, 7, 7\] in the file"),
        ({"basic": True}, r"missing keys \(first 'front.layer1.0.conv3.weight'\)"),
    ],
)
def test_another_architecture(size: dict[str, object], message: str, tmp_path: Path) -> None:
    torch.save(residual(**size), tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=message.removesuffix("$")) as caught:
        METHOD.load_pretrained(network(), tmp_path / "w.pth")
    assert str(caught.value).startswith("the weights do not fit the network: ")
    assert "\n" not in str(caught.value)


def test_a_whole_checkpoint_is_no_pretraining(tmp_path: Path) -> None:
    torch.save(published(randomised()), tmp_path / "w.pth")
    message = "w.pth: a whole IDKL checkpoint; expected a residual network.*`reid import`"
    with pytest.raises(CheckpointError, match=message):
        METHOD.load_pretrained(network(), tmp_path / "w.pth")


def test_other_sizes_are_named() -> None:
    state = METHOD.convert_checkpoint(published(randomised()))
    shape = state["shared.classifier.weight"].shape
    people = {"shared.classifier.weight": torch.zeros(395, shape[1])}
    with pytest.raises(CheckpointError, match="for 395 people, and 3 in the training dataset"):
        network().fit_checkpoint(state | people)
    wide = network(model={"backbone": {"planes": [2, 2, 3, 8]}})
    with pytest.raises(CheckpointError, match=r"of 16 numbers, and 32 by `model`"):
        wide.fit_checkpoint(state)


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrapped_checkpoints(wrapper: str, prefix: str, tmp_path: Path) -> None:
    state = published(randomised())
    content: object = {f"{prefix}{key}": value for key, value in state.items()}
    torch.save({wrapper: content, "epoch": 160} if wrapper else content, tmp_path / "w.pth")
    converted = METHOD.convert_checkpoint(read_weights(tmp_path / "w.pth"))
    assert converted.keys() == randomised().state_dict().keys()


def test_weights_go_into_a_network_of_this_method() -> None:
    other = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match="Linear is no IDKL network"):
        METHOD.load_pretrained(other, "x")  # type: ignore[arg-type]
