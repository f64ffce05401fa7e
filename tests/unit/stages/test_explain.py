"""From a model and a small generated world to pictures of what the model looks at."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from reid.data.manifest import Manifest
from reid.errors import DataError, ParamsError
from reid.methods.base import DataFacts
from reid.methods.embedding import embed_batch
from reid.methods.model_directory import ModelCard, load_model, save_model
from reid.methods.registry import build_network, load_recipe
from reid.pretrain.distillation import build_distillation
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import (
    PretrainCard,
    backbone_facts,
    save_card,
    save_pretrained,
)
from reid.pretrain.recipe import load_pretrain_recipe
from reid.stages import explain as stage
from reid.stages.data import build_dataset
from reid.stages.explain import Wanted, explain
from reid.stages.explained_images import (
    Chosen,
    altered,
    choose_pairs,
    open_scene,
    rows_to_explain,
)

PARAMS = Path(__file__).parents[3] / "params"
LABELLED, UNLABELLED = "synth_smoke_a", "synth_smoke_bags"
PICTURES = {"attention.png", "parts.png", "correspondences.png"}
OF_PAIRS = {"contributions.png", "correspondences.png"}
SMALL = Wanted(images=4, parts=3)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the smoke study, an unlabelled set, and both built."""
    root = tmp_path_factory.mktemp("project")
    study = yaml.safe_load((PARAMS / "studies" / "smoke.yaml").read_text(encoding="utf-8"))
    study["datasets"][UNLABELLED] = {
        "made_from": "reid/data/synthetic",
        "compared_with": "data",
        "source": {
            "reader": "synthetic",
            "size": "smoke",
            "domain": "AB",
            "kind": "unlabelled",
            "seed": 1,
        },
        "suite": "pretrain",
        "protocols": [],
    }
    (root / "params").mkdir()
    (root / "params" / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        build_dataset(LABELLED)
        build_dataset(UNLABELLED)
    return root


@pytest.fixture
def project(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the current folder, without models and pictures of other tests."""
    for name in ("models", "reports", "out"):
        shutil.rmtree(built / name, ignore_errors=True)
    monkeypatch.chdir(built)
    return built


def save_run(run: str, method: str, model: dict[str, Any] | None = None, **facts: Any) -> Path:
    recipe = load_recipe(PARAMS / "methods" / method / "smoke.yaml", {"model": model or {}})
    torch.manual_seed(0)
    cameras = Manifest.load(Path("data") / LABELLED / "manifest.parquet").train_cameras
    card = {
        "run": run,
        "study": "smoke",
        "method": method,
        "person_ids": (1, 2, 3),
        "camera_ids": cameras,
        "num_views": 1,
        "feature_size": 8,
        "parameters": 1,
        "train_dataset": LABELLED,
        "manifest_digest": "ab",
        "licence": "CC0",
        "status": "open",
        "consent": "synthetic",
        "precision": "fp32",
        "seed": 0,
        "epochs": 1,
        "version": "0",
    } | facts
    folder = Path("models/smoke") / run
    folder.mkdir(parents=True)
    network = build_network(recipe, DataFacts(3, len(cameras), 1))
    save_model(folder, network, recipe, ModelCard.model_validate(card))
    return folder


def save_pretrained_backbone(name: str, dataset: str | None) -> Path:
    recipe = load_pretrain_recipe(PARAMS / "pretrain" / "smoke.yaml")
    folder = Path("models/smoke/pretrained") / name
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    pair = build_distillation(recipe)
    save_pretrained(folder, pair, recipe, ())
    if dataset:
        facts = backbone_facts(pair.teacher.backbone, recipe)
        save_card(folder, pretrain_card(name=name, dataset=dataset, backbone=facts))
    return folder


def pretrain_card(**facts: Any) -> PretrainCard:
    return PretrainCard(
        study="smoke",
        manifest_digest="ab",
        images=3,
        selected_by="all",
        licence="CC0",
        status="open",
        consent="synthetic",
        weights_sha256="cd",
        precision="fp32",
        seed=0,
        epochs=1,
        version="0",
        **facts,
    )


def record(folder: Path, pictures: set[str] = PICTURES) -> dict[str, Any]:
    for name in pictures:
        with Image.open(folder / name) as page:
            page.load()
    found: dict[str, Any] = json.loads((folder / "explain.json").read_text(encoding="utf-8"))
    return found


def test_a_run_is_explained_on_people_seen_by_two_cameras(project: Path) -> None:
    save_run("transreid", "transreid")
    explain("transreid", SMALL)
    found = record(Path("reports/smoke/explain/transreid"))
    assert (found["method"], found["dataset"], found["parts"]) == ("transreid", LABELLED, 3)
    assert len(found["pairs"]) == 2
    for pair in found["pairs"]:
        first, second = pair["images"]
        assert first["person_id"] == second["person_id"]
        assert first["camera_id"] != second["camera_id"]
        assert not first["altered"]
        assert not second["altered"]
    assert len({pair["images"][0]["person_id"] for pair in found["pairs"]}) == 2


def test_the_same_seed_gives_the_same_files(project: Path) -> None:
    folder = save_run("mine", "personvit", study="elsewhere")
    for out in ("out/a", "out/b"):
        explain(str(folder), Wanted(images=4, parts=3, seed=5, folder=Path(out)))
    for name in (*PICTURES, "explain.json"):
        assert Path("out/a", name).read_bytes() == Path("out/b", name).read_bytes()
    explain(str(folder), Wanted(images=4, parts=3, seed=6, folder=Path("out/c")))
    assert record(Path("out/a"))["pairs"] != record(Path("out/c"))["pairs"]


def test_a_pretraining_is_explained_on_images_and_altered_copies(project: Path) -> None:
    folder = save_pretrained_backbone("lup", UNLABELLED)
    explain(str(folder), SMALL)
    found = record(Path("reports/smoke/explain/lup_pretraining"))
    assert (found["method"], found["dataset"]) == ("pretraining", UNLABELLED)
    for pair in found["pairs"]:
        first, second = pair["images"]
        assert first["path"] == second["path"]
        assert (first["altered"], second["altered"]) == (False, True)
        assert first["person_id"] is None


def test_a_file_of_a_pretraining_needs_a_dataset_if_it_names_none(project: Path) -> None:
    path = save_pretrained_backbone("lup", None) / BACKBONE_FILE
    with pytest.raises(ParamsError, match=r"lup_pretraining does not say .* Name one with"):
        explain(str(path), SMALL)
    explain(str(path), Wanted(dataset=LABELLED, images=2, folder=Path("out/d")))
    assert record(Path("out/d"))["dataset"] == LABELLED


def test_a_network_without_patches_is_refused_on_one_spectrum(project: Path) -> None:
    save_run("bot", "bot")
    words = (
        rf"bot: a network of method bot has no patch tokens, and {LABELLED} shows nobody in both"
    )
    with pytest.raises(ParamsError, match=words):
        explain("bot", Wanted(images=4))
    assert not Path("reports").exists()
    with pytest.raises(
        ParamsError, match=r"--parts 3 for bot, which has no patch tokens; expected"
    ):
        explain("bot", SMALL)


def test_the_scores_of_a_run_are_explained_beside_look_alikes(project: Path) -> None:
    folder = save_run("transmatcher", "transmatcher")
    explain(str(folder), Wanted(images=4))
    found = record(Path("reports/smoke/explain/transmatcher"), OF_PAIRS)
    assert (found["method"], found["dataset"]) == ("transmatcher", LABELLED)
    assert "parts" not in found
    assert [pair["relation"] for pair in found["pairs"]] == ["same person", "another person"] * 2
    for same, other in zip(found["pairs"][::2], found["pairs"][1::2], strict=True):
        assert same["images"][0] == other["images"][0]
        people = [image["person_id"] for image in (*same["images"], other["images"][1])]
        assert people[0] == people[1] != people[2]
        assert same["strangers_score"] == other["strangers_score"]
    model = load_model(folder)
    scene = open_scene(LABELLED, 2, stage.COMPARED, 0)
    raw = scene.batch(model.recipe.image, ())
    assert found["compared_images"] == len(raw.images)
    rows = embed_batch(model.network, model.recipe, raw)
    scorer = model.network.scorer()
    assert scorer is not None
    scores = scorer.scores(rows[:1], rows)[0]
    people = [scene.facts(image)["person_id"] for image in scene.shown + scene.others]
    others = scores[[person != people[0] for person in people]]
    expected = [scores[1], others.max()]
    assert [pair["score"] for pair in found["pairs"][:2]] == pytest.approx(expected, abs=2e-4)


def test_scores_of_unknown_people_are_explained_with_altered_copies(project: Path) -> None:
    folder = save_run("transmatcher", "transmatcher")
    for out in ("out/a", "out/b"):
        explain(str(folder), Wanted(UNLABELLED, images=4, folder=Path(out)))
    found = record(Path("out/a"), OF_PAIRS)
    assert [pair["relation"] for pair in found["pairs"]] == ["altered copy"] * 2
    for name in (*OF_PAIRS, "explain.json"):
        assert Path("out/a", name).read_bytes() == Path("out/b", name).read_bytes()


def test_pairs_have_no_parts(project: Path) -> None:
    folder = save_run("transmatcher", "transmatcher")
    with pytest.raises(ParamsError, match=r"--parts 6 for transmatcher, which scores pairs .* out"):
        explain(str(folder), Wanted(parts=6))


def test_a_matching_without_maxima_is_refused(project: Path) -> None:
    folder = save_run("softmax", "transmatcher", {"pooling": "softmax"})
    with pytest.raises(ParamsError, match=r"softmax: its scores are no sums over the best matches"):
        explain(str(folder), Wanted())


def test_strangers_are_needed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_run("transmatcher", "transmatcher")
    monkeypatch.setattr(stage, "COMPARED", 2)
    with pytest.raises(DataError, match=f"{LABELLED}: images of one person only; expected other"):
        explain(str(folder), Wanted(images=2))


def test_an_unknown_model_is_named_with_the_nearest(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"no run 'transried' \(did you mean 'transreid'\?\)"):
        explain("transried", SMALL)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(images=3), "--images 3; expected an even number"),
        (Wanted(images=0), "--images 0; expected an even number"),
        (Wanted(parts=1), "--parts 1; expected 2 to 12"),
        (Wanted(parts=13), "--parts 13; expected 2 to 12"),
        (Wanted(seed=-1), "--seed -1; expected a number from 0"),
    ],
)
def test_wrong_numbers_are_refused(wanted: Wanted, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        explain("transreid", wanted)


@pytest.mark.parametrize("known", [True, False])
def test_pictures_are_added_to_the_run_that_trained_the_model(
    project: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    logged: list[tuple[str, str]] = []

    class Run:
        def log_files(self, paths: list[Path], folder: str) -> None:
            logged.extend((path.name, folder) for path in paths if path.is_file())

    asked: list[str] = []

    def find(run_id: str) -> Run | None:
        asked.append(run_id)
        return Run() if known else None

    monkeypatch.setattr(stage, "find_run", find)
    save_run("transreid", "transreid", mlflow_run_id="f" * 32)
    explain("transreid", Wanted(images=2, parts=2))
    assert asked == ["f" * 32]
    assert set(logged) == ({(name, "explain") for name in PICTURES} if known else set())


def rows_of(people: list[int | None], cameras: list[int | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pid": pd.array(people, dtype="Int64"),
            "camid": pd.array(cameras, dtype="Int16"),
        },
        index=range(10, 10 + len(people)),
    )


def test_people_of_two_cameras_come_before_others() -> None:
    rows = rows_of([1, 1, 2, 2, 3, None], [0, 0, 0, 1, 1, 1])
    for seed in range(5):
        ((first, second),) = choose_pairs(rows, 4, seed)
        assert {first, second} == {Chosen(12), Chosen(13)}


def test_without_cameras_two_images_of_a_person_are_a_pair() -> None:
    rows = rows_of([1, 1, 2, 3, 3], [None] * 5)
    pairs = choose_pairs(rows, 4, 0)
    assert [{image.row for image in pair} for pair in pairs] == [{10, 11}, {13, 14}]


def test_people_of_one_image_are_paired_with_a_copy() -> None:
    assert choose_pairs(rows_of([1, 2], [0, 1]), 1, 0)[0] in [
        (Chosen(row), Chosen(row, altered=True)) for row in (10, 11)
    ]


def test_an_altered_copy_is_mirrored_and_enlarged() -> None:
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[10:30, 2:6] = 255
    copy = altered(pixels)
    assert copy.shape == pixels.shape
    assert copy[20, 17].min() > 200
    assert copy[20, 5].max() == 0
    assert (copy > 128).sum() > 1.2 * (pixels > 128).sum()


def test_broken_and_ignored_images_are_never_looked_at(project: Path) -> None:
    manifest = Manifest.load(Path("data") / LABELLED / "manifest.parquet")
    rows = rows_to_explain(LABELLED, manifest)
    assert set(rows["split"]) == {"query", "gallery"}
    assert set(rows["flag"]) == {"ok"}
