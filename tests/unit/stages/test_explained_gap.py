"""What explain draws of the gap between the spectra, on a small generated world of two."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from reid.data.images import Batch
from reid.data.manifest import Manifest
from reid.methods.base import DataFacts
from reid.methods.bot import BagOfTricks
from reid.methods.model_directory import save_model
from reid.methods.registry import load_recipe
from reid.stages import gap_pictures
from reid.stages.cards import IMPORTED, model_card
from reid.stages.data import build_dataset
from reid.stages.explain import Wanted, explain
from reid.stages.pretrained import Parent, begin_network

PARAMS = Path(__file__).parents[3] / "params"
SPECTRA = "synth_smoke_a"
OUT = Path("reports/smoke/explain")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose only dataset is seen in both spectra."""
    root = tmp_path_factory.mktemp("project")
    study = yaml.safe_load((PARAMS / "studies" / "smoke.yaml").read_text(encoding="utf-8"))
    study["datasets"][SPECTRA]["source"]["kind"] = "cross_modal"
    (root / "params").mkdir()
    (root / "params" / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        build_dataset(SPECTRA)
    return root


def touch(_rows: Any, _shown: Any, path: Path, *_words: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the current folder, without models and pictures of other tests."""
    for name in ("models", "reports"):
        shutil.rmtree(built / name, ignore_errors=True)
    monkeypatch.chdir(built)
    # most of the time goes into the picture, which the tests of the report draw
    monkeypatch.setattr(gap_pictures, "in_plane", lambda features, seed: features[:, :2])
    monkeypatch.setattr(gap_pictures, "draw_modality_gap", touch)
    return built


def save_run(
    method: str, *, trained: bool, weights: Path | None = None, study: str = "smoke"
) -> None:
    """Save a run as it was when training began, or with other weights."""
    recipe = load_recipe(PARAMS / "methods" / method / "smoke.yaml")
    manifest = Manifest.load(Path("data") / SPECTRA / "manifest.parquet")
    facts = DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    network = begin_network(recipe, facts, 3, weights)
    if trained:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    card = model_card(
        run=method,
        study=study,
        recipe=recipe,
        manifest=manifest,
        network=network,
        dataset=SPECTRA,
        seed=3,
        parent=Parent(weights),
    )
    folder = Path("models/smoke") / method
    folder.mkdir(parents=True)
    save_model(folder, network, recipe, card)


def gap_of(run: str) -> dict[str, Any]:
    assert (OUT / run / "modality_gap.png").is_file()
    record = json.loads((OUT / run / "explain.json").read_text(encoding="utf-8"))
    assert (record["method"], record["dataset"]) == (run, SPECTRA)
    found: dict[str, Any] = record["modality_gap"]
    return found


def test_a_convolutional_network_is_explained_by_the_gap_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run("bot", trained=True)
    explain("bot", Wanted())
    found = gap_of("bot")
    assert list(found["features"]) == ["before training", "after training"]
    before, after = found["features"].values()
    assert before["auc"] != after["auc"]
    assert sorted(path.name for path in (OUT / "bot").iterdir()) == [
        "explain.json",
        "modality_gap.png",
    ]
    assert capsys.readouterr().out.endswith(
        f"bot on {SPECTRA}: modality_gap.png in {OUT / 'bot'}\n"
    )


def test_before_training_is_as_training_began(project: Path) -> None:
    save_run("bot", trained=False)
    explain("bot", Wanted())
    before, after = gap_of("bot")["features"].values()
    assert before == after


def test_before_training_has_the_weights_of_the_parent(project: Path) -> None:
    recipe = load_recipe(PARAMS / "methods" / "bot" / "smoke.yaml")
    other = begin_network(recipe, DataFacts(2, 2, 1), 8, None)
    assert isinstance(other, BagOfTricks)
    weights = Path("models/parent.safetensors")
    weights.parent.mkdir()
    save_file(other.backbone.state_dict(), weights)
    save_run("bot", trained=False, weights=weights)
    explain("bot", Wanted())
    before, after = gap_of("bot")["features"].values()
    assert before == after


def test_without_the_weights_that_training_began_with_it_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Path("models/gone.safetensors")
    weights.parent.mkdir()
    recipe = load_recipe(PARAMS / "methods" / "bot" / "smoke.yaml")
    other = begin_network(recipe, DataFacts(2, 2, 1), 8, None)
    assert isinstance(other, BagOfTricks)
    save_file(other.backbone.state_dict(), weights)
    save_run("bot", trained=True, weights=weights)
    weights.unlink()
    explain("bot", Wanted())
    assert list(gap_of("bot")["features"]) == ["after training"]
    assert "models/gone.safetensors is gone, so nothing is drawn" in capsys.readouterr().out


def test_nobody_knows_how_the_training_of_an_imported_model_began(project: Path) -> None:
    save_run("bot", trained=True, study=IMPORTED)
    explain("bot", Wanted())
    assert list(gap_of("bot")["features"]) == ["after training"]


@pytest.mark.parametrize("same", [True, False])
def test_every_branch_has_a_row(project: Path, monkeypatch: pytest.MonkeyPatch, same: bool) -> None:
    def branches(self: BagOfTricks, batch: Batch) -> dict[str, Tensor]:
        shared = self.embed(batch)
        return {
            "shared": shared if same else shared[:, ::2],
            "specific": batch.images.mean((2, 3)) + shared[:, :3],
        }

    monkeypatch.setattr(BagOfTricks, "branches", branches)
    save_run("bot", trained=True)
    explain("bot", Wanted())
    found = gap_of("bot")["features"]
    if same:
        assert list(found) == [
            "before training",
            "after training: shared branch, used for retrieval",
            "after training: specific branch",
        ]
    else:
        assert list(found) == [
            "before training",
            "after training, used for retrieval",
            "after training: shared branch",
            "after training: specific branch",
        ]
    assert len({numbers["gap"] for numbers in found.values()}) == len(found)


def test_a_transformer_has_the_gap_beside_its_patches(project: Path) -> None:
    save_run("transreid", trained=True)
    explain("transreid", Wanted(images=2, parts=2))
    assert list(gap_of("transreid")["features"]) == ["before training", "after training"]
    assert (OUT / "transreid" / "attention.png").is_file()


def test_a_scorer_of_pairs_has_no_gap(project: Path) -> None:
    save_run("transmatcher", trained=True)
    explain("transmatcher", Wanted(images=2))
    assert (OUT / "transmatcher" / "contributions.png").is_file()
    assert not (OUT / "transmatcher" / "modality_gap.png").exists()
