"""Visible and infrared images at the command line: a run of IDKL, and what is said where it cannot.

The data are a few noise images in the layout of SYSU-MM01, with a run of a tiny network.
"""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from reid.cli import main
from reid.data.manifest import Manifest
from reid.methods.idkl.terms import WEIGHT_OF_TERM
from reid.retrieval.embeddings import Embeddings
from reid.stages import training_run
from reid.stages.feature_store import make_embeddings, rows_to_embed
from reid.stages.paths import manifest_file
from tests.unit.methods.idkl.tiny import settings

STUDY = Path(__file__).parents[3] / "params/studies/smoke.yaml"
TRAINED, TESTED, INFRARED, IMAGES = range(1, 5), range(5, 9), (3, 6), 2
PROTOCOL = "sysu_all_single"

Said = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """A study of one run; gives what takes the place of the MLflow run."""
    monkeypatch.chdir(tmp_path)
    changes: dict[str, Any] = {
        "schedule": {"name": "step", "epochs": 2, "warmup_epochs": 0},
        "augment": {"pad": 2},
        "image": {"height": 32},
    }
    Path("recipe.yaml").write_text(yaml.safe_dump(settings(**changes)))
    write_study()
    tracked = MagicMock(run_id="id")
    tracked.__enter__.return_value = tracked
    tracked.__exit__.return_value = None
    monkeypatch.setattr(training_run, "tracked_run", lambda *_: tracked)
    return tracked


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command: its exit code, and the line that it says about an error."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(arguments)
        error = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        return code, error[-1] if error else ""

    return run


def write_study(overrides: dict[str, Any] | None = None) -> None:
    study = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    data = {
        "made_from": "raw",
        "compared_with": "data/sysu",
        "source": {"reader": "sysu_mm01", "official": False},
        "suite": "person",
        "protocols": [PROTOCOL],
    }
    run = {"method": "idkl", "recipe": "recipe.yaml", "starts_from": "reid/nn", "train": "sysu"}
    run |= {"test": "sysu", "transfer": "sysu"}
    study |= {
        "datasets": {"sysu": data},
        "runs": {"idkl": run | {"overrides": overrides or {}}},
        "pretrainings": {},
        "shortlists": {},
    }
    study["evaluation"] |= {"rerank": {"k1": 4, "k2": 2, "lambda": 0.3}, "pictures": 0}
    Path("params").mkdir(exist_ok=True)
    Path("params/study.yaml").write_text(yaml.safe_dump(study))


def write_data(
    kept: Callable[[int, int], bool] = lambda _person, _camera: True, draws: bool = False
) -> Manifest:
    """Write images of those people in those cameras that are kept, and index them.

    Args:
        draws: With the official permutations.
    """
    noise = np.random.default_rng(0)
    for person in (*TRAINED, *TESTED):
        for camera in filter(lambda camera: kept(person, camera), range(1, 7)):
            folder = Path(f"raw/cam{camera}/{person:04}")
            folder.mkdir(parents=True)
            for number in range(1, IMAGES + 1):
                pixels = noise.integers(0, 256, (32, 16, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04}.jpg")
    Path("raw/exp").mkdir()
    ids = {"train": TRAINED[:-1], "val": TRAINED[-1:], "test": TESTED}
    for name, people in ids.items():
        Path(f"raw/exp/{name}_id.txt").write_text(",".join(map(str, people)))
    if draws:
        write_draws()
    assert main(("data", "build", "sysu")) == 0
    return Manifest.load(manifest_file("sysu"))


def write_draws() -> None:
    """Write ten orders of the images of every test person in every camera."""
    noise = np.random.default_rng(1)
    cameras = np.empty((6, 1), object)
    for camera in range(6):
        people = np.empty((1, max(TESTED)), object)
        for person in range(max(TESTED)):
            orders = [noise.permutation(IMAGES) + 1 for _ in range(10)]
            people[0, person] = np.array(orders) if person + 1 in TESTED else np.empty((0, 0))
        cameras[camera, 0] = people
    savemat("raw/exp/rand_perm_cam.mat", {"rand_perm_cam": cameras})


def write_features(manifest: Manifest) -> Embeddings:
    """Write random features as those of the run."""
    rows = rows_to_embed("sysu", manifest)
    features = np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32)
    card = {"dataset": "sysu", "run": "idkl", "method": "idkl", "manifest_digest": manifest.digest}
    made = make_embeddings(rows, features, card)
    Path("embeddings/smoke/idkl").mkdir(parents=True)
    made.save(Path("embeddings/smoke/idkl/sysu"))
    return made


def test_a_run_on_both_spectra(said: Said) -> None:
    write_data()
    assert said("train", "idkl")[0] == 0
    with Path("models/smoke/idkl/history.csv").open(encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    assert len(epochs) == 2
    # terms of the paper's form, and those that are off by default
    without = {name for name in WEIGHT_OF_TERM if name.startswith("contrast_")}
    without |= {"purifier_identity", "purifier_triplet"}
    assert epochs[0].keys() >= {"loss", *WEIGHT_OF_TERM} - without
    assert all(math.isfinite(float(value)) for row in epochs for value in row.values())
    assert said("embed", "idkl")[0] == 0
    stored = Embeddings.load(Path("embeddings/smoke/idkl/sysu"))
    assert stored.features.shape == (len(TESTED) * 6 * IMAGES, 16)
    assert said("evaluate", "idkl")[0] == 0


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (
            lambda person, camera: person in TESTED or camera not in INFRARED,
            "the training split has no infrared image; expected infrared and visible ones, as "
            "sampler.name is cross_modal.",
        ),
        (
            lambda person, camera: person in TESTED or camera in INFRARED,
            "the training split has no visible image; expected infrared and visible ones, as "
            "sampler.name is cross_modal.",
        ),
        (
            lambda person, camera: person not in (2, 4) or camera not in INFRARED,
            "2 people of the training split have images of one modality only, the first of class 1",
        ),
    ],
    ids=["no infrared image", "no visible image", "people without infrared images"],
)
def test_a_missing_spectrum_is_said_before_any_epoch(
    kept: Callable[[int, int], bool], found: str, said: Said, project: MagicMock
) -> None:
    write_data(kept)
    code, line = said("train", "idkl")
    assert code == 4
    assert line.startswith(f"error: {found}")
    assert "dataset" in line.rpartition(". ")[2]
    project.log_metrics.assert_not_called()
    assert not Path("models").exists()


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ({"sampler": {"name": "identity"}}, "'sampler.name' is 'identity'; expected"),
        ({"sampler": {"name": "graph"}}, "'sampler.name' is 'graph'; expected"),
        (
            {"loss": {"weights": {"graph_whitin": 0.5}}},
            "unknown key 'loss.weights.graph_whitin' (did you mean 'graph_within'?); expected",
        ),
    ],
)
def test_a_recipe_that_cannot_be(overrides: dict[str, Any], found: str, said: Said) -> None:
    write_data()
    write_study(overrides)
    code, line = said("train", "idkl")
    assert code == 3
    assert line.startswith(f"error: recipe.yaml: {found} ")
    assert "Correct" in line


@pytest.mark.parametrize(
    ("there", "lacks"),
    [("ir", "a gallery without visible images"), ("rgb", "queries without infrared images")],
)
def test_a_test_set_of_one_spectrum(there: str, lacks: str, said: Said) -> None:
    made = write_features(write_data())
    modalities = np.full(len(made.paths), there)
    replace(made, modalities=modalities).save(Path("embeddings/smoke/idkl/sysu"))
    assert said("evaluate", "idkl") == (
        7,
        f"error: sysu: {lacks} ({len(made.paths)} images); expected visible and infrared images "
        f"under the protocol {PROTOCOL}. Add the missing images, or take a protocol that goes by "
        "roles, such as market.",
    )
    assert not Path("results/smoke/idkl.json").exists()


@pytest.mark.parametrize(("draws", "named"), [(False, "seeded"), (True, "official")])
def test_result_and_table_name_the_draw_of_the_gallery(
    draws: bool, named: str, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """SYSU-MM01 comes without its permutations at times: then the gallery is not the official."""
    write_features(write_data(draws=draws))
    assert said("evaluate", "idkl")[0] == 0
    card = json.loads(Path("results/smoke/idkl.card.json").read_text())[f"sysu/{PROTOCOL}"]
    assert (card["draw"], card["trials"]) == (named, 10)
    assert main(("compare",)) == 0
    for kind in ("md", "html", "csv"):
        table = Path(f"reports/smoke/comparison.{kind}").read_text(encoding="utf-8")
        assert f"1 per person and camera, {named}" in table, kind
    shown = " ".join(capsys.readouterr().out.split())
    assert f"sysu/{PROTOCOL}" in shown
    assert f"gallery 1 per person and camera, {named}" in shown
