"""`reid import`: every key of a published file is accounted for, and nothing in it can run."""

from argparse import Namespace
from fractions import Fraction
from pathlib import Path, PurePosixPath

import pytest
import torch
from torch import Tensor

from reid.cli import main
from reid.methods.base import DataFacts
from reid.methods.model_directory import load_model
from reid.methods.personvit import METHOD, PersonVit, upstream_names
from reid.methods.registry import load_recipe
from tests.unit.stages.tiny_manifest import row, write_manifest

RECIPE = Path(__file__).parents[3] / "params/methods/personvit/smoke.yaml"
ARGUMENTS = ("import", "p.pth", "models/m", "--recipe", str(RECIPE), "--dataset", "d")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the manifest of a dataset of three people."""
    monkeypatch.chdir(tmp_path)
    people = range(3)
    write_manifest("d", [row(f"{k}.jpg", "train", pid=k, label=k, camid=0) for k in people])


def published() -> tuple[PersonVit, dict[str, Tensor]]:
    """A network and the state dict in which the reference code would save it."""
    torch.manual_seed(0)
    made = METHOD.build(load_recipe(RECIPE), DataFacts(3, 1, 1))
    assert isinstance(made, PersonVit)
    names = upstream_names(made)
    state = {names[key]: value for key, value in made.state_dict().items()}
    unused = {"base.fc.weight": torch.zeros(7, 4), "base.fc.bias": torch.zeros(7)}
    return made, {**state, **unused}


def test_every_key_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    made, state = published()
    torch.save(state, "p.pth")
    assert main(ARGUMENTS) == 0
    count = len(made.state_dict())
    assert capsys.readouterr().out == (
        f"p.pth: {count} tensors loaded, 2 dropped (base.fc.weight, base.fc.bias)\n"
    )
    loaded = load_model(Path("models/m"))
    own = made.state_dict()
    assert all(torch.equal(own[key], v) for key, v in loaded.network.state_dict().items())
    assert loaded.card.parents == ("p.pth",)


def test_options_beside_the_weights_are_no_obstacle(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"state_dict": published()[1], "args": Namespace(lr=0.1, stem=None), "epoch": 120}
    torch.save(content, "p.pth")
    assert main(ARGUMENTS) == 0
    assert "tensors loaded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (Namespace(output=PurePosixPath("x")), "pathlib"),
        (Namespace(inner=Namespace(rate=Fraction(1, 2))), "fractions.Fraction"),
        (PurePosixPath("x"), "pathlib"),
    ],
)
def test_foreign_objects_are_refused(
    harm: object, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": published()[1], "args": harm}, "p.pth")
    assert main(ARGUMENTS) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: p.pth: cannot be read as plain weights (it holds an object of ")
    assert name in line
    assert not Path("models/m").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base.extra": torch.zeros(1)}, "1 unknown keys (first 'backbone.extra')"),
        ({"base.norm.bias": None}, "1 missing keys (first 'backbone.norm.bias')"),
        ({"classifier.weight": torch.zeros(9, 48)}, "'classifier.weight' is [9, 48] in the file"),
    ],
)
def test_any_difference_is_an_error(
    changes: dict[str, Tensor | None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {k: v for k, v in (published()[1] | changes).items() if v is not None}
    torch.save(state, "p.pth")
    assert main(ARGUMENTS) == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not Path("models/m").exists()


def test_self_supervised_weights_are_no_fine_tuned_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(published()[0].backbone.state_dict(), "p.pth")
    assert main(ARGUMENTS) == 6
    assert "self-supervised weights go into `pretrained`" in capsys.readouterr().err
