import pickle
from argparse import Namespace
from pathlib import Path, PurePosixPath

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reid.errors import CheckpointError
from reid.nn.checkpoint import LoadReport, load_state, read_mapping, read_weights


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False))


def state() -> dict[str, Tensor]:
    return {key: torch.full_like(value, 7.0) for key, value in network().state_dict().items()}


def test_weights_are_unwrapped_and_freed_of_the_prefix(tmp_path: Path) -> None:
    prefixed = {f"module.{key}": value for key, value in state().items()}
    for number, nested in enumerate([prefixed, {"model": prefixed}, {"state_dict": prefixed}]):
        path = tmp_path / f"{number}.pth"
        torch.save(nested, path)
        assert read_weights(path).keys() == state().keys()


def test_a_wrapper_may_stand_beside_other_things(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": state()}, path)
    assert torch.equal(read_weights(path)["0.bias"], torch.full((2,), 7.0))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors").keys() == state().keys()


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"weight": Payload()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"evil\.pth: cannot be read as plain weights"):
        read_weights(path)


def test_the_options_of_a_training_file_are_no_danger(tmp_path: Path) -> None:
    path = tmp_path / "training.pth"
    torch.save({"teacher": state(), "args": Namespace(lr=0.1, crops=[1, 2])}, path)
    content = read_mapping(path)
    assert content["args"] == Namespace(lr=0.1, crops=[1, 2])
    with pytest.raises(CheckpointError, match="'teacher' is dict; expected only tensors"):
        read_weights(path)


@pytest.mark.parametrize("harm", [PurePosixPath("x"), Payload()])
def test_options_may_hide_nothing_else(tmp_path: Path, harm: object) -> None:
    path = tmp_path / "training.pth"
    torch.save({"args": Namespace(output=harm)}, path)
    with pytest.raises(CheckpointError, match=r"it holds an object of (pathlib|exec)"):
        read_mapping(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [({"epoch": 3}, "'epoch' is int; expected only tensors"), ([1], "holds list; expected a map")],
)
def test_other_content_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_damaged_file_gives_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match="cannot be read as plain weights") as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth: no such file"):
        read_weights(tmp_path / "nowhere.pth")


def test_equal_keys_load_completely() -> None:
    target = network()
    report = load_state(target, state())
    assert report == LoadReport(loaded=("0.weight", "0.bias", "1.weight"))
    assert all((value == 7).all() for value in target.state_dict().values())
    assert report.summary() == "3 tensors loaded"


def test_every_exception_is_reported() -> None:
    given = state() | {"head.weight": torch.zeros(9), "0.bias": torch.zeros(4)}
    del given["1.weight"]
    report = load_state(
        network(),
        given,
        allow_missing=["1.*"],
        drop=["head.*"],
        resize={"0.bias": lambda bias: bias[:2]},
    )
    assert report == LoadReport(("0.weight",), ("0.bias",), ("head.weight",), ("1.weight",))
    assert report.summary() == (
        "1 tensors loaded, 1 resized (0.bias), 1 dropped (head.weight), 1 missing (1.weight)"
    )


def test_a_long_list_is_cut_short() -> None:
    assert LoadReport(dropped=("a", "b", "c", "d", "e")).summary().endswith("(a, b, c and 2 more)")


def test_nothing_is_resized_that_fits() -> None:
    def refuse(_: Tensor) -> Tensor:
        raise AssertionError

    assert load_state(network(), state(), resize={"0.bias": refuse}).resized == ()


def test_a_foreign_architecture_gives_one_clear_line() -> None:
    target = network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    given = {"conv.weight": torch.zeros(1), "0.weight": torch.zeros(5, 3), "0.bias": torch.ones(2)}
    with pytest.raises(CheckpointError) as caught:
        load_state(target, given)
    assert str(caught.value) == (
        "the weights do not fit the network: 1 unknown keys (first 'conv.weight'), 1 missing keys "
        "(first '1.weight'), 1 other shapes (first '0.weight' is [5, 3] in the file and [2, 3] in "
        "the network); expected the same architecture, image size, classes and cameras. Build the "
        "network with the recipe and data that the weights were made with."
    )
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_weights_of_a_loss_keep_its_name(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    saved = {"model": {"module.a": torch.ones(1)}, "criterion": {"module.a": torch.zeros(2)}}
    torch.save({**saved, "epoch": 3}, path)
    found = read_weights(path)
    assert {key: len(value) for key, value in found.items()} == {"a": 1, "criterion.a": 2}
