from pathlib import Path

import pytest
import torch
from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.transmatcher import METHOD, TransMatcher
from reid.nn.checkpoint import load_state, read_weights
from tests.unit.methods.transmatcher.tiny import network


def published(made: TransMatcher) -> dict[str, dict[str, Tensor]]:
    """What the published code saves of such a network, with all that it never uses."""
    state = made.state_dict()
    model = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
    criterion = {key: value for key, value in state.items() if key.startswith("matcher.")}
    first = "matcher.decoder.layers.0."
    template = {k.removeprefix(first): v for k, v in criterion.items() if k.startswith(first)}
    criterion |= {f"matcher.decoder_layer.{key}": value.clone() for key, value in template.items()}
    model |= {"base.layer4.0.conv1.weight": torch.zeros(2), "base.fc.bias": torch.zeros(3)}
    return {"model": model, "criterion": criterion}


def test_a_published_checkpoint(tmp_path: Path) -> None:
    source, target = network(), network()
    for value in source.parameters():
        torch.nn.init.normal_(value)
    torch.save({**published(source), "optim": {"state": {}}, "epoch": 15}, tmp_path / "a.tar")
    state = read_weights(tmp_path / "a.tar")
    fitted = target.fit_checkpoint(METHOD.convert_checkpoint(state))
    load_state(target, fitted)
    expected = source.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in target.state_dict().items())
    taken = {id(value) for value in fitted.values()}
    unused = {key for key, value in state.items() if id(value) not in taken}
    assert {"base.layer4.0.conv1.weight", "base.fc.bias"} < unused
    others = unused - {"base.layer4.0.conv1.weight", "base.fc.bias"}
    assert all(key.startswith("criterion.matcher.decoder_layer.") for key in others)


def test_the_last_stage_is_kept_where_it_is_run() -> None:
    sizes = {"stem": 4, "planes": [2, 2, 2, 2], "blocks": [1, 1, 1, 1]}
    made = network(model={"backbone": sizes, "final_layer": "layer4", "ibn": "none"})
    state = {key: value for key, value in made.state_dict().items() if "layer4" in key}
    assert state
    assert made.fit_checkpoint(state).keys() == state.keys()


def test_another_image_size_is_named() -> None:
    flat = published(network(image={"height": 64, "width": 32}))
    criterion = {f"criterion.{key}": value for key, value in flat["criterion"].items()}
    state = METHOD.convert_checkpoint({**flat["model"], **criterion})
    message = "weights for 32 cells, and the 4x3 = 12 of 32x24 images; expected the image size"
    with pytest.raises(CheckpointError, match=message):
        network().fit_checkpoint(state)


def test_a_checkpoint_of_another_method() -> None:
    with pytest.raises(CheckpointError, match="a TransMatcher checkpoint"):
        METHOD.convert_checkpoint({"base.conv1.weight": torch.zeros(1)})


def test_weights_of_a_whole_residual_network(tmp_path: Path) -> None:
    source, target = network(), network()
    weights = {key: value + 1 for key, value in source.features.base.state_dict().items()}
    torch.save({**weights, "layer3.0.x": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path / "w")
    report = METHOD.load_pretrained(target, tmp_path / "w")
    assert report.dropped == ("layer3.0.x", "fc.bias")
    assert all(
        torch.equal(value, weights[key]) for key, value in target.features.base.state_dict().items()
    )


def test_old_files_without_counters(tmp_path: Path) -> None:
    made = network()
    state = made.features.base.state_dict()
    weights = {key: value for key, value in state.items() if "num_batches" not in key}
    torch.save(weights, tmp_path / "w")
    report = METHOD.load_pretrained(made, tmp_path / "w")
    assert set(report.missing) == state.keys() - weights.keys() != set()


def test_instance_norms_are_not_in_timm() -> None:
    with pytest.raises(CheckpointError, match=r"timm:resnet50.*file of IBN-Net"):
        METHOD.load_pretrained(network(model={"ibn": "b"}), "timm:resnet50")


def test_weights_go_into_a_network_of_this_method() -> None:
    other = torch.nn.Linear(1, 1)
    with pytest.raises(TypeError, match="Linear is no TransMatcher network"):
        METHOD.load_pretrained(other, "x")  # type: ignore[arg-type]
