"""A published checkpoint of IDKL becomes a model with `reid import`, and gives its feature."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from reid.cli import main
from reid.data.images import Batch
from reid.methods.model_directory import load_model
from tests.golden.idkl_pack import OTHER_WEIGHTS, Pack, paths, read
from tests.unit.stages.tiny_manifest import row, write_manifest

ARGUMENTS = ("models/m", "--recipe", "recipe.yaml", "--dataset", "d")


@pytest.fixture(params=paths(), ids=lambda path: path.parent.name)
def pack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pack:
    """A pack, its recipe and a dataset of as many people in the current folder."""
    monkeypatch.chdir(tmp_path)
    path: Path = request.param
    found = read(path)
    write_recipe(found)
    write_people(found.config["num_classes"])
    return found


def write_recipe(pack: Pack, factor: int = 1) -> None:
    """Write the recipe of the pack's network, or of one that is as many times wider."""
    data = pack.recipe(OTHER_WEIGHTS, pack.config["k"]).model_dump(mode="json")
    planes = data["model"]["backbone"]["planes"]
    data["model"]["backbone"]["planes"] = [factor * width for width in planes]
    Path("recipe.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def write_people(count: int) -> None:
    people = range(count)
    write_manifest("d", [row(f"{k}.jpg", "train", pid=k, label=k, camid=0) for k in people])


def published(pack: Pack) -> dict[str, Tensor]:
    """The state dict without the classifiers that belong to the pack's loose features."""
    return {key: value for key, value in pack.weights.items() if not key.startswith("head.")}


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
def test_import_gives_the_published_feature(
    pack: Pack, wrapper: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = published(pack)
    if wrapper:
        torch.save({wrapper: {f"module.{key}": state[key] for key in state}}, "p.pth")
    else:
        torch.save(state, "p.pth")
    assert main(("import", "p.pth", *ARGUMENTS)) == 0
    network = load_model(Path("models/m")).network
    loaded = len(network.state_dict())
    said = capsys.readouterr().out
    assert said.startswith(
        f"p.pth: {loaded} tensors loaded, {len(state) - loaded} dropped (backbone."
    )
    assert said.count("\n") == 1
    images, unknown = pack.tensors["n.images"], torch.full_like(pack.tensors["n.labels"], -1)
    with torch.no_grad():
        found = network.eval().embed(Batch(images, unknown, unknown, unknown, unknown))
    pack.close(found, pack.tensors["n.eval_feature"])


def test_a_file_of_plain_tensors(pack: Pack) -> None:
    save_file(published(pack), "p.safetensors")
    assert main(("import", "p.safetensors", *ARGUMENTS)) == 0
    assert load_model(Path("models/m")).card.parents == ("p.safetensors",)


def test_another_number_of_people(pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(published(pack), "p.pth")
    classes = pack.config["num_classes"]
    write_people(classes + 2)
    assert main(("import", "p.pth", *ARGUMENTS)) == 6
    assert capsys.readouterr().err == (
        f"error: weights for {classes} people, and {classes + 2} in the training dataset; expected "
        "the same people. Name the dataset that the weights were trained on, as its reader read it "
        "then.\n"
    )
    assert not Path("models/m").exists()


def test_another_width(pack: Pack, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(published(pack), "p.pth")
    write_recipe(pack, factor=2)
    assert main(("import", "p.pth", *ARGUMENTS)) == 6
    width = pack.tensors["n.eval_feature"].shape[1]
    assert capsys.readouterr().err == (
        f"error: weights for features of {width} numbers, and {2 * width} by `model`; "
        "expected the same width. Set backbone and stripes of the weights in the recipe.\n"
    )
    assert not Path("models/m").exists()
